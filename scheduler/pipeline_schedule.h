// StageSchedule: which stage of a pipeline works on which micro-batch in which tick.
//
// Plain data, shared by whoever runs a pipeline and whoever simulates one. A tick is as long as its
// longest slot: schedules order work, they do not time it. A stage without a slot in a tick is
// idle; with attention servers in place it serves the others' CA-tasks meanwhile.
//
// A stage holds `model_chunks` runs of consecutive layers; run c of stage s is virtual stage
// c * stages + s, and a micro-batch passes the virtual stages in that order, forward, and in the
// reverse order backward.
//
// Pure functions; any thread.
#ifndef RALLY_SCHEDULER_PIPELINE_SCHEDULE_H_
#define RALLY_SCHEDULER_PIPELINE_SCHEDULE_H_

#include <cstdint>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "scheduler/phase.h"

namespace rally {

enum class ScheduleKind : uint8_t {
  // Each stage alternates one forward and one backward as soon as it can.
  kOneForwardOneBackward = 0,
  // The same over several model chunks per stage (arXiv 2104.04473): bubbles shrink by their count.
  kInterleaved,
  // In a tick all stages work in the same direction, so that their CA-tasks share one pool. As long
  // as 1F1B; stage s holds activations of up to 2 * (stages - 1 - s) + 1 micro-batches, 1F1B of
  // stages - s.
  kPhaseAligned,
};

struct Slot {
  int32_t tick = 0;
  int32_t micro_batch = 0;
  int32_t model_chunk = 0;
  Direction direction = Direction::kForward;

  friend bool operator==(const Slot&, const Slot&) = default;
};

struct StageSchedule {
  int32_t stages = 1;
  int32_t micro_batches = 1;
  int32_t model_chunks = 1;
  int32_t ticks = 0;                     // Slots lie in ticks [0, ticks).
  std::vector<std::vector<Slot>> slots;  // [stages], each in the order of its ticks.

  // The stage's slot in a tick, or null: the stage is idle.
  const Slot* At(int32_t stage, int32_t tick) const;
  friend bool operator==(const StageSchedule&, const StageSchedule&) = default;
};

// InvalidArgument when a count is below 1, when model_chunks is not 1 for a kind that is not
// interleaved, or when the micro-batches of an interleaved one are not a multiple of the stages.
absl::StatusOr<StageSchedule> MakeSchedule(ScheduleKind kind, int32_t stages, int32_t micro_batches,
                                           int32_t model_chunks = 1);

// OK when every micro-batch passes every virtual stage once forward and once backward, in the order
// of its dependencies, and no stage has two slots in a tick. InvalidArgument names the first slot
// that is wrong.
absl::Status CheckSchedule(const StageSchedule& schedule);

// Whether all slots of each tick have the same direction.
bool IsPhaseAligned(const StageSchedule& schedule);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PIPELINE_SCHEDULE_H_
