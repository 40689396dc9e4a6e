#include "scheduler/pipeline_plan.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/status_macros.h"

namespace rally {
namespace {

absl::Status CheckFit(const Plan& plan, const StageSchedule& schedule) {
  RALLY_RETURN_IF_ERROR(CheckSchedule(schedule));
  if (plan.stages != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat("a plan of ", plan.stages, " stages is already laid over ticks"));
  }
  if (schedule.model_chunks != 1 || !IsPhaseAligned(schedule)) {
    return absl::InvalidArgumentError(
        "a plan's ticks have one direction: the schedule must be phase-aligned");
  }
  if (plan.micro_batches.size() != static_cast<size_t>(schedule.micro_batches)) {
    return absl::InvalidArgumentError(absl::StrCat("a plan of ", plan.micro_batches.size(),
                                                   " micro-batches, a schedule of ",
                                                   schedule.micro_batches));
  }
  return absl::OkStatus();
}

// Adds what `stage` does in a tick: a micro-batch of the plan, moved to the stage's ranks.
void AddStage(const Plan& plan, const MicroBatch& micro_batch, const StageSchedule& schedule,
              int32_t stage, MicroBatch* tick) {
  const int32_t first_rank = stage * plan.workers;
  std::copy(micro_batch.chunks.begin(), micro_batch.chunks.end(),
            tick->chunks.begin() + first_rank);
  for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
    for (CaTask task : micro_batch.tasks[nano_batch]) {
      const bool dedicated = task.server >= plan.workers;
      task.server += dedicated ? (schedule.stages - 1) * plan.workers : first_rank;
      tick->tasks[nano_batch].push_back(task);
    }
  }
}

}  // namespace

absl::StatusOr<Plan> LayOverTicks(const Plan& plan, const StageSchedule& schedule) {
  RALLY_RETURN_IF_ERROR(CheckFit(plan, schedule));
  Plan laid = plan;
  laid.workers = plan.workers * schedule.stages;
  laid.stages = schedule.stages;
  if (schedule.stages == 1) return laid;
  laid.micro_batches.clear();
  for (int32_t number = 0; number < schedule.ticks; ++number) {
    MicroBatch tick;
    tick.chunks.resize(static_cast<size_t>(laid.workers));
    for (int32_t stage = 0; stage < schedule.stages; ++stage) {
      const Slot* slot = schedule.At(stage, number);
      if (slot == nullptr) continue;
      tick.passes = slot->direction == Direction::kForward ? Passes::kForward : Passes::kBackward;
      AddStage(plan, plan.micro_batches[slot->micro_batch], schedule, stage, &tick);
    }
    if (plan.kind != PlanKind::kTrain && tick.passes == Passes::kBackward) continue;
    laid.micro_batches.push_back(std::move(tick));
  }
  return laid;
}

}  // namespace rally
