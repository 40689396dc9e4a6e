#include "scheduler/phase.h"

#include <cstddef>

namespace rally {
namespace {

void AppendMicroBatch(const Plan& plan, int32_t micro_batch, int64_t layers,
                      std::vector<Phase>* order) {
  const size_t first = order->size();
  for (int32_t layer = 0; layer < layers; ++layer) {
    for (int32_t nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      if (!NanoBatchInUse(plan.micro_batches[micro_batch], nano_batch)) continue;
      order->push_back({micro_batch, layer, nano_batch, Direction::kForward});
    }
  }
  if (plan.kind != PlanKind::kTrain) return;
  for (size_t i = order->size(); i > first; --i) {
    Phase phase = (*order)[i - 1];
    phase.direction = Direction::kBackward;
    order->push_back(phase);
  }
}

}  // namespace

std::vector<Phase> PhaseOrder(const Plan& plan, int64_t layers) {
  std::vector<Phase> order;
  for (size_t i = 0; i < plan.micro_batches.size(); ++i) {
    AppendMicroBatch(plan, static_cast<int32_t>(i), layers, &order);
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
