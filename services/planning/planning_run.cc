#include "services/planning/planning_run.h"

#include <memory>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/median.h"
#include "common/status_macros.h"
#include "scheduler/check_plan.h"

namespace rally {

absl::StatusOr<PlanningRun> RunPlanner(PlannerKind kind, const PlannerOptions& options,
                                       PlanInput input, const PlanningEffort& effort,
                                       const Clock& clock) {
  PlanningRun run;
  std::vector<double> seconds;
  for (int32_t i = 0; i < effort.repeats; ++i) {
    const std::unique_ptr<Planner> planner = MakePlanner(kind, options);
    const absl::Time start = clock.Now();
    if (effort.search > absl::ZeroDuration()) {
      input.keep_searching = [&clock, end = start + effort.search] { return clock.Now() < end; };
    }
    RALLY_ASSIGN_OR_RETURN(run.planned, planner->MakePlan(input));
    seconds.push_back(absl::ToDoubleSeconds(clock.Now() - start));
  }
  run.plan_seconds = Median(std::move(seconds));
  const absl::Status proof = CheckPlan(run.planned.plan, input.model.mask);
  if (!proof.ok()) {
    return absl::InternalError(
        absl::StrCat("planner ", PlannerName(kind), " made a wrong plan: ", proof.message()));
  }
  RALLY_ASSIGN_OR_RETURN(run.summary, Summarize(run.planned.plan, input));
  return run;
}

}  // namespace rally
