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

absl::Status CheckOptions(const PlannerOptions& options) {
  if (options.tolerance > 0.0 && options.tolerance <= 1.0 && options.query_granularity >= 1 &&
      options.max_kv_rows_per_task >= 0) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("planner options: tolerance ", options.tolerance,
                                                 ", granularity ", options.query_granularity,
                                                 ", key limit ", options.max_kv_rows_per_task));
}

}  // namespace

absl::Status AssignLocally(const Topology& topology, const ModelShape& model, Plan* plan) {
  RALLY_RETURN_IF_ERROR(TakeTopology(topology, plan));
  for (MicroBatch& micro_batch : plan->micro_batches) {
    for (auto& tasks : micro_batch.tasks) tasks.clear();
    const ShardIndex index(micro_batch);
    for (const ShardPlace& place : index.places()) {
      micro_batch.tasks[place.nano_batch].push_back({place.document, place.begin, place.end,
                                                     FirstAllowedKey(place.begin, model.mask),
                                                     place.end, place.home});
    }
  }
  return absl::OkStatus();
}

absl::Status AssignBalanced(const Topology& topology, const ModelShape& model,
                            const PlannerOptions& options, Plan* plan) {
  RALLY_RETURN_IF_ERROR(CheckOptions(options));
  if (topology.local()) return absl::InvalidArgumentError("no server to balance over");
  RALLY_RETURN_IF_ERROR(TakeTopology(topology, plan));
  for (MicroBatch& micro_batch : plan->micro_batches) {
    const ShardIndex index(micro_batch);
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      micro_batch.tasks[nano_batch] =
          PhaseBalancer(&index, nano_batch, topology, model, options).Run();
    }
  }
  return absl::OkStatus();
}

}  // namespace rally
