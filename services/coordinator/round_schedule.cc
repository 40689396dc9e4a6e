#include "services/coordinator/round_schedule.h"

namespace rally {

bool ValidationDue(const JobSpec& spec, int64_t step) {
  if (spec.validation.every == 0 || step == 0) return false;
  return step % spec.validation.every == 0 || step == spec.training.steps;
}

bool CheckpointDue(const JobSpec& spec, int64_t step) {
  if (spec.checkpoint.directory.empty()) return false;
  if (step == spec.training.steps) return true;
  return spec.checkpoint.every > 0 && step % spec.checkpoint.every == 0;
}

std::optional<RoundKey> FirstRound(const JobSpec& spec, int64_t step) {
  if (ValidationDue(spec, step)) return RoundKey{0, step, PlanKind::kValidate};
  if (step >= spec.training.steps) return std::nullopt;
  return RoundKey{0, step + 1, PlanKind::kTrain};
}

std::optional<RoundKey> NextRound(const JobSpec& spec, const RoundKey& key) {
  if (key.kind == PlanKind::kTrain && ValidationDue(spec, key.step)) {
    return RoundKey{key.round + 1, key.step, PlanKind::kValidate};
  }
  if (key.step >= spec.training.steps) return std::nullopt;
  return RoundKey{key.round + 1, key.step + 1, PlanKind::kTrain};
}

}  // namespace rally
