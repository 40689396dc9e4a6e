#include <memory>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/phase_balancer.h"
#include "scheduler/planner.h"
#include "scheduler/shard_index.h"

namespace rally {
namespace {

class BalancingPlanner : public Planner {
 public:
  explicit BalancingPlanner(const PlannerOptions& options) : options_(options) {}

  absl::Status Assign(const Topology& topology, const ModelShape& shape, Plan* plan) override {
    RALLY_RETURN_IF_ERROR(CheckOptions());
    if (topology.local()) return absl::InvalidArgumentError("no server to balance over");
    RALLY_RETURN_IF_ERROR(TakeTopology(topology, plan));
    for (MicroBatch& micro_batch : plan->micro_batches) {
      const ShardIndex index(micro_batch);
      for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
        micro_batch.tasks[nano_batch] =
            PhaseBalancer(&index, nano_batch, topology, shape, options_).Run();
      }
    }
    return absl::OkStatus();
  }

 private:
  absl::Status CheckOptions() const {
    if (options_.tolerance > 0.0 && options_.tolerance <= 1.0 && options_.query_granularity >= 1 &&
        options_.max_kv_rows_per_task >= 0) {
      return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat("planner options: tolerance ", options_.tolerance, ", granularity ",
                     options_.query_granularity, ", key limit ", options_.max_kv_rows_per_task));
  }

  const PlannerOptions options_;
};

}  // namespace

std::unique_ptr<Planner> MakeBalancingPlanner(const PlannerOptions& options) {
  return std::make_unique<BalancingPlanner>(options);
}

}  // namespace rally
