#include "scheduler/task_assignment.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/phase_balancer.h"
#include "scheduler/planner.h"
#include "scheduler/shard_index.h"

namespace rally {
namespace {

// Checks that `topology` fits `plan`, and sets the plan's servers.
absl::Status TakeTopology(const Topology& topology, Plan* plan) {
  if (plan->workers != topology.workers || topology.dedicated_servers < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a plan packed for ", plan->workers, " workers does not fit a topology of ",
        topology.workers, " workers and ", topology.dedicated_servers, " dedicated servers"));
  }
  plan->dedicated_servers = topology.dedicated_servers;
  return absl::OkStatus();
}

// One task for every shard, computed where it lives.
std::vector<CaTask> TasksAtHome(const ShardIndex& index, int nano_batch, AttentionMask mask) {
  std::vector<CaTask> tasks;
  for (const ShardPlace& place : index.places()) {
    if (place.nano_batch != nano_batch) continue;
    tasks.push_back({place.document, place.begin, place.end, FirstAllowedKey(place.begin, mask),
                     place.end, place.home});
  }
  return tasks;
}

}  // namespace

absl::Status CheckPlannerOptions(const PlannerOptions& options) {
  const auto reject = [](absl::string_view field, double value, absl::string_view range) {
    return absl::InvalidArgumentError(
        absl::StrCat("planner options: ", field, ": ", value, " is not in ", range));
  };
  if (!(options.tolerance >= 0.0 && options.tolerance <= 1.0)) {
    return reject("tolerance", options.tolerance, "[0, 1]");
  }
  if (options.query_granularity < 1) {
    return reject("query_granularity", static_cast<double>(options.query_granularity), "[1, ...)");
  }
  if (options.element_bytes < 1) {
    return reject("element_bytes", static_cast<double>(options.element_bytes), "[1, ...)");
  }
  return absl::OkStatus();
}

absl::Status CheckTopology(const Topology& topology) {
  if (topology.workers < 1 || topology.dedicated_servers < 0) {
    return absl::InvalidArgumentError(absl::StrCat("a topology of ", topology.workers,
                                                   " workers and ", topology.dedicated_servers,
                                                   " dedicated servers"));
  }
  if (topology.weights.empty()) return absl::OkStatus();
  if (topology.weights.size() != static_cast<size_t>(topology.ranks())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a topology of ", topology.ranks(), " ranks has ", topology.weights.size(), " weights"));
  }
  double pool = 0.0;
  for (int32_t rank = 0; rank < topology.ranks(); ++rank) {
    if (!(topology.weights[rank] >= 0.0) || std::isinf(topology.weights[rank])) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the weight of rank ", rank, ": ", topology.weights[rank], " is not in [0, infinity)"));
    }
    pool += topology.weight(rank);
  }
  if (pool > 0.0) return absl::OkStatus();
  return absl::InvalidArgumentError("every rank of the topology's pool is excluded");
}

std::vector<double> WorkLimits(const Topology& topology, double pairs, double tolerance) {
  std::vector<double> limits(static_cast<size_t>(topology.ranks()));
  double weights = 0.0;
  for (int32_t rank = 0; rank < topology.ranks(); ++rank) weights += topology.weight(rank);
  for (int32_t rank = 0; rank < topology.ranks(); ++rank) {
    const double share = pairs * topology.weight(rank) / weights;
    // Pairs are whole: all of them find a place only if a share may be rounded up.
    limits[rank] = std::max(share * (1.0 + tolerance), std::ceil(share));
  }
  return limits;
}

void LayOverPool(const std::vector<double>& limits, AttentionMask mask,
                 std::vector<CaTask>* tasks) {
  double total = 0.0;
  for (const double limit : limits) total += limit;
  double pairs = 0.0;
  for (const CaTask& task : *tasks) pairs += static_cast<double>(AllowedPairs(task, mask));
  double before = 0.0;  // Pairs of the tasks laid so far.
  double filled = 0.0;  // Limits of the ranks before `rank`.
  size_t rank = 0;
  for (CaTask& task : *tasks) {
    const auto own = static_cast<double>(AllowedPairs(task, mask));
    const double middle = (before + own / 2.0) * total / pairs;
    while (rank + 1 < limits.size() && filled + limits[rank] < middle) filled += limits[rank++];
    task.server = static_cast<int32_t>(rank);
    before += own;
  }
}

absl::Status AssignLocally(const Topology& topology, const ModelShape& model, Plan* plan) {
  RALLY_RETURN_IF_ERROR(TakeTopology(topology, plan));
  for (MicroBatch& micro_batch : plan->micro_batches) {
    const ShardIndex index(micro_batch);
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      micro_batch.tasks[nano_batch] = TasksAtHome(index, nano_batch, model.mask);
    }
  }
  return absl::OkStatus();
}

absl::Status AssignBalanced(const Topology& topology, const ModelShape& model,
                            const PlannerOptions& options, Plan* plan) {
  RALLY_RETURN_IF_ERROR(CheckPlannerOptions(options));
  RALLY_RETURN_IF_ERROR(CheckTopology(topology));
  if (topology.local()) return absl::InvalidArgumentError("no server to balance over");
  RALLY_RETURN_IF_ERROR(TakeTopology(topology, plan));
  const double tolerance = options.tolerance > 0.0 ? options.tolerance : kDefaultTolerance;
  for (MicroBatch& micro_batch : plan->micro_batches) {
    const ShardIndex index(micro_batch);
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      std::vector<CaTask> tasks = TasksAtHome(index, nano_batch, model.mask);
      int64_t pairs = 0;
      for (const CaTask& task : tasks) pairs += AllowedPairs(task, model.mask);
      BalanceGoal goal;
      goal.limits = WorkLimits(topology, static_cast<double>(pairs), tolerance);
      goal.query_granularity = options.query_granularity;
      goal.mask = model.mask;
      goal.costs = RowCostsOf(model, options.element_bytes);
      if (!topology.in_place) LayOverPool(goal.limits, model.mask, &tasks);
      micro_batch.tasks[nano_batch] =
          PhaseBalancer(&index, plan->documents.size(), std::move(goal)).Run(tasks);
    }
  }
  return absl::OkStatus();
}

}  // namespace rally
