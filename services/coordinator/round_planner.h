// RoundPlanner: plans the rounds of one job from its dataset's document lengths.
//
// Every plan has passed CheckPlan. Deterministic, but for the time that a search is given.
//
// Thread-compatible: one caller at a time.
#ifndef RALLY_SERVICES_COORDINATOR_ROUND_PLANNER_H_
#define RALLY_SERVICES_COORDINATOR_ROUND_PLANNER_H_

#include <memory>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "common/clock.h"
#include "scheduler/job_spec.h"
#include "services/coordinator/event.h"

namespace rally {

class RoundPlanner {
 public:
  virtual ~RoundPlanner() = default;

  // Reads the lengths from spec.data.path; errors as CheckDataset's (admission.h). `clock` is
  // borrowed.
  static absl::StatusOr<std::unique_ptr<RoundPlanner>> Create(std::shared_ptr<const JobSpec> spec,
                                                              const Clock* clock);

  // The request is of this planner's job. Of a resumed round only the key and the plan are set.
  virtual absl::StatusOr<PlannedRound> Plan(const RequestPlan& request) = 0;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_ROUND_PLANNER_H_
