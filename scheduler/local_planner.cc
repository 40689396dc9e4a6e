#include <memory>

#include <absl/status/status.h>

#include "common/status_macros.h"
#include "scheduler/planner.h"
#include "scheduler/shard_index.h"

namespace rally {
namespace {

class LocalPlanner : public Planner {
 public:
  absl::Status Assign(const Topology& topology, const ModelShape& shape, Plan* plan) override {
    RALLY_RETURN_IF_ERROR(TakeTopology(topology, plan));
    for (MicroBatch& micro_batch : plan->micro_batches) {
      for (auto& tasks : micro_batch.tasks) tasks.clear();
      const ShardIndex index(micro_batch);
      for (const ShardPlace& place : index.places()) {
        micro_batch.tasks[place.nano_batch].push_back({place.document, place.begin, place.end,
                                                       FirstAllowedKey(place.begin, shape.mask),
                                                       place.end, place.home});
      }
    }
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<Planner> MakeLocalPlanner() { return std::make_unique<LocalPlanner>(); }

}  // namespace rally
