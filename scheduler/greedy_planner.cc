#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/baseline_planners.h"
#include "scheduler/greedy_balancer.h"
#include "scheduler/packing.h"
#include "scheduler/shard_index.h"

namespace rally {
namespace {

absl::Status CheckPool(const Topology& topology, double tolerance) {
  if (!(tolerance > 0.0 && tolerance <= 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("planner options: tolerance ", tolerance, ", not in (0, 1]"));
  }
  for (int32_t rank = 0; rank < topology.ranks(); ++rank) {
    if (topology.weight(rank) > 0.0) return absl::OkStatus();
  }
  return absl::InvalidArgumentError("every attention server is excluded");
}

class GreedyPlanner final : public Planner {
 public:
  explicit GreedyPlanner(double tolerance) : tolerance_(tolerance) {}

  absl::StatusOr<PlannedBatch> MakePlan(const PlanInput& input) override {
    const Topology& topology = input.topology;
    RALLY_RETURN_IF_ERROR(CheckPool(topology, tolerance_));
    PlannedBatch planned;
    RALLY_ASSIGN_OR_RETURN(planned.plan, PackInOrder(*input.batch, input.shape, topology.workers,
                                                     input.ping_pong, DocumentCut::kRings));
    if (topology.local()) {
      RALLY_RETURN_IF_ERROR(AssignLocally(topology, input.model, &planned.plan));
    } else {
      planned.plan.dedicated_servers = topology.dedicated_servers;
      for (MicroBatch& micro_batch : planned.plan.micro_batches) {
        const ShardIndex index(micro_batch);
        for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
          GreedyBalancer balancer(index, nano_batch, topology, input.model, tolerance_);
          micro_batch.tasks[nano_batch] = balancer.Run();
        }
      }
    }
    planned.report = ReportBalance(planned.plan, topology, input.model.mask, tolerance_);
    return planned;
  }

 private:
  const double tolerance_;
};

}  // namespace

std::unique_ptr<Planner> MakeGreedyPlanner(const PlannerOptions& options) {
  return std::make_unique<GreedyPlanner>(options.tolerance);
}

}  // namespace rally
