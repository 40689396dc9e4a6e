// LayOverTicks: from a plan for the replicas of one stage to the plan of a whole pipeline.
//
// Pure function; any thread.
#ifndef RALLY_SCHEDULER_PIPELINE_PLAN_H_
#define RALLY_SCHEDULER_PIPELINE_PLAN_H_

#include <absl/status/statusor.h>

#include "scheduler/pipeline_schedule.h"
#include "scheduler/plan.h"

namespace rally {

// `plan` has no stages: its workers are the replicas of each stage, its micro-batches those of the
// schedule. The result has a micro-batch per tick of the schedule (of its forward ticks alone when
// `plan` validates): the chunks that the stages work on in it, and their tasks as in `plan`, each
// on the same replica of its own stage or on the same dedicated server. It passes CheckPlan if
// `plan` does; AssignBalanced then spreads each tick's tasks over all stages.
//
// InvalidArgument when the plan has stages, the schedule is not phase-aligned over one model chunk
// per stage, or they differ in micro-batches.
absl::StatusOr<Plan> LayOverTicks(const Plan& plan, const StageSchedule& schedule);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PIPELINE_PLAN_H_
