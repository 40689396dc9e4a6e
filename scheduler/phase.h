// Phase: one round of CA-tasks, and the order in which a training step runs them.
//
// Homes and servers derive the same sequence from the plan, so no message has to announce what
// comes next. Plain data and pure functions; any thread.
#ifndef RALLY_SCHEDULER_PHASE_H_
#define RALLY_SCHEDULER_PHASE_H_

#include <cstdint>
#include <vector>

#include "scheduler/plan.h"

namespace rally {

enum class Direction : uint8_t { kForward = 0, kBackward = 1 };

struct Phase {
  int32_t micro_batch = 0;
  int32_t layer = 0;
  int32_t nano_batch = 0;
  Direction direction = Direction::kForward;

  friend bool operator==(const Phase&, const Phase&) = default;
};

// Every phase of the plan in execution order. Per micro-batch: forward over layers, ping then pong
// in each; then, for a training plan, the exact mirror backward. With pipeline stages a micro-batch
// (a tick) runs in its one direction over the layers / stages layers of each stage, all stages at
// once, and `layer` counts within the stage. Nano-batches that no worker has tokens in (ping-pong
// off) are left out. `layers` is the whole model's, a multiple of the stages.
std::vector<Phase> PhaseOrder(const Plan& plan, int64_t layers);

// Whether any worker has tokens in this nano-batch of this micro-batch.
bool NanoBatchInUse(const MicroBatch& micro_batch, int nano_batch);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PHASE_H_
