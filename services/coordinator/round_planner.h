// RoundPlanner: plans the rounds of one job from its dataset's document lengths.
//
// A training round takes its batch from the data position given; the validation round is the same
// every time: the held-out documents in order, from the first, as many chunks as asked for, rounded
// up to whole groups. Every plan has passed CheckPlan. Deterministic.
//
// Thread-compatible: one caller at a time.
#ifndef RALLY_SERVICES_COORDINATOR_ROUND_PLANNER_H_
#define RALLY_SERVICES_COORDINATOR_ROUND_PLANNER_H_

#include <memory>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/clock.h"
#include "scheduler/job_spec.h"
#include "services/coordinator/event.h"

namespace rally {

class RoundPlanner {
 public:
  virtual ~RoundPlanner() = default;

  // Reads the lengths from spec.data.path; errors as CheckDataset's (admission.h). `clock` is
  // borrowed and only measures the time planning takes.
  static absl::StatusOr<std::unique_ptr<RoundPlanner>> Create(std::shared_ptr<const JobSpec> spec,
                                                              const Clock* clock);

  virtual absl::StatusOr<PlannedRound> Plan(const RoundKey& key, const DataPosition& position) = 0;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_ROUND_PLANNER_H_
