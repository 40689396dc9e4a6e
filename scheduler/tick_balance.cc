#include "scheduler/tick_balance.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/phase_balancer.h"
#include "scheduler/shard_index.h"
#include "scheduler/task_assignment.h"

namespace rally {
namespace {

Direction DirectionOf(const MicroBatch& tick) {
  return tick.passes == Passes::kBackward ? Direction::kBackward : Direction::kForward;
}

// Seconds of a phase's linear work by rank.
std::vector<double> LinearSeconds(const Plan& plan, const MicroBatch& tick, int nano_batch,
                                  const ModelShape& model, const CostModel& costs) {
  std::vector<double> seconds(static_cast<size_t>(plan.ranks()), 0.0);
  for (size_t worker = 0; worker < tick.chunks.size(); ++worker) {
    const int64_t tokens = TokenCount(tick.chunks[worker].nano_batches[nano_batch]);
    seconds[worker] = costs.LinearSeconds(model, DirectionOf(tick), tokens);
  }
  return seconds;
}

// The time by which all are done with `linear` and, between those in the pool, with `attention`
// more: above it the pool's ranks have room for exactly that.
double CommonEnd(const Topology& topology, const std::vector<double>& linear, double attention) {
  std::vector<double> busy;
  for (size_t rank = 0; rank < linear.size(); ++rank) {
    if (topology.weight(static_cast<int32_t>(rank)) > 0.0) busy.push_back(linear[rank]);
  }
  std::sort(busy.begin(), busy.end());
  double sum = attention;
  double end = 0.0;
  for (size_t i = 0; i < busy.size(); ++i) {
    sum += busy[i];
    end = sum / static_cast<double>(i + 1);
    if (i + 1 == busy.size() || end <= busy[i + 1]) break;
  }
  return end;
}

// The topology with weights for one phase.
Topology Weighted(Topology topology, const Plan& plan, const MicroBatch& tick, int nano_batch,
                  const ModelShape& model, const CostModel& costs) {
  const std::vector<double> linear = LinearSeconds(plan, tick, nano_batch, model, costs);
  double attention = 0.0;
  for (const CaTask& task : tick.tasks[nano_batch]) {
    attention += costs.TaskSeconds(model, DirectionOf(tick), task);
  }
  const double end = CommonEnd(topology, linear, attention);
  std::vector<double> weights(linear.size());
  for (size_t rank = 0; rank < linear.size(); ++rank) {
    weights[rank] = topology.weight(static_cast<int32_t>(rank)) * std::max(0.0, end - linear[rank]);
  }
  const bool any = std::any_of(weights.begin(), weights.end(), [](double w) { return w > 0.0; });
  if (any) topology.weights = std::move(weights);
  return topology;
}

}  // namespace

absl::Status BalanceTicks(const Topology& topology, const ModelShape& model,
                          const PlannerOptions& options, const CostModel* costs, Plan* plan) {
  RALLY_RETURN_IF_ERROR(CheckPlannerOptions(options));
  RALLY_RETURN_IF_ERROR(CheckTopology(topology));
  if (topology.local()) return absl::InvalidArgumentError("no server to balance over");
  if (topology.workers != plan->workers || topology.dedicated_servers != plan->dedicated_servers) {
    return absl::InvalidArgumentError(
        absl::StrCat("a plan of ", plan->workers, " workers and ", plan->dedicated_servers,
                     " servers does not fit a topology of ", topology.workers, " and ",
                     topology.dedicated_servers));
  }
  const double tolerance = options.tolerance > 0.0 ? options.tolerance : kDefaultTolerance;
  for (MicroBatch& tick : plan->micro_batches) {
    const ShardIndex index(tick);
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      std::vector<CaTask>& tasks = tick.tasks[nano_batch];
      int64_t pairs = 0;
      for (const CaTask& task : tasks) pairs += AllowedPairs(task, model.mask);
      if (pairs == 0) continue;
      BalanceGoal goal;
      goal.limits = WorkLimits(
          costs != nullptr ? Weighted(topology, *plan, tick, nano_batch, model, *costs) : topology,
          static_cast<double>(pairs), tolerance);
      goal.query_granularity = options.query_granularity;
      goal.mask = model.mask;
      goal.costs = RowCostsOf(model, options.element_bytes);
      tasks = PhaseBalancer(&index, plan->documents.size(), std::move(goal)).Run(tasks);
    }
  }
  return absl::OkStatus();
}

}  // namespace rally
