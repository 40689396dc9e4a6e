// PlanningRun: one input planned, timed and proved, for those who want to look at plans.
//
// Any thread; one thread plans.
#ifndef RALLY_SERVICES_PLANNING_PLANNING_RUN_H_
#define RALLY_SERVICES_PLANNING_PLANNING_RUN_H_

#include <cstdint>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "common/clock.h"
#include "scheduler/planner.h"
#include "services/planning/plan_summary.h"

namespace rally {

struct PlanningRun {
  PlannedBatch planned;
  PlanSummary summary;
  double plan_seconds = 0.0;  // Placement and tasks together: the median of all made.
};

struct PlanningEffort {
  int32_t repeats = 1;    // Plans made, each by a planner of its own, at least 1; the last is kept.
  absl::Duration search;  // How long each planner searches on; zero: a fixed number of attempts.
};

// Internal when the plan does not pass CheckPlan, which names what is wrong.
absl::StatusOr<PlanningRun> RunPlanner(PlannerKind kind, const PlannerOptions& options,
                                       PlanInput input, const PlanningEffort& effort,
                                       const Clock& clock);

}  // namespace rally

#endif  // RALLY_SERVICES_PLANNING_PLANNING_RUN_H_
