#include "scheduler/phase.h"

#include <cstddef>

namespace rally {
namespace {

// Forward over `layers`, ping then pong in each.
std::vector<Phase> ForwardPhases(const Plan& plan, int32_t micro_batch, int64_t layers) {
  std::vector<Phase> phases;
  for (int32_t layer = 0; layer < layers; ++layer) {
    for (int32_t nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      if (!NanoBatchInUse(plan.micro_batches[micro_batch], nano_batch)) continue;
      phases.push_back({micro_batch, layer, nano_batch, Direction::kForward});
    }
  }
  return phases;
}

}  // namespace

std::vector<Phase> PhaseOrder(const Plan& plan, int64_t layers) {
  std::vector<Phase> order;
  for (size_t i = 0; i < plan.micro_batches.size(); ++i) {
    std::vector<Phase> phases = ForwardPhases(plan, static_cast<int32_t>(i), layers / plan.stages);
    const Passes passes = plan.micro_batches[i].passes;
    if (passes != Passes::kBackward) order.insert(order.end(), phases.begin(), phases.end());
    if (passes == Passes::kForward || plan.kind != PlanKind::kTrain) continue;
    for (Phase& phase : phases) phase.direction = Direction::kBackward;
    order.insert(order.end(), phases.rbegin(), phases.rend());
  }
  return order;
}

bool NanoBatchInUse(const MicroBatch& micro_batch, int nano_batch) {
  for (const Chunk& chunk : micro_batch.chunks) {
    if (TokenCount(chunk.nano_batches[nano_batch]) > 0) return true;
  }
  return false;
}

}  // namespace rally
