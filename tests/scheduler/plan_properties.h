// What every plan must hold, whatever it was asked: shared by tests and the fuzzer.
#ifndef RALLY_TESTS_SCHEDULER_PLAN_PROPERTIES_H_
#define RALLY_TESTS_SCHEDULER_PLAN_PROPERTIES_H_

#include <absl/status/status.h>

#include "scheduler/planner.h"

namespace rally::test {

// OK when the plan passes CheckPlan, holds exactly the batch's documents, every worker of a
// micro-batch has the same tokens up to one, and in every phase each server's work lies below its
// limit, up to one pair. Otherwise the first that does not hold.
absl::Status CheckProperties(const PlanInput& input, double tolerance, const PlannedBatch& planned);

}  // namespace rally::test

#endif  // RALLY_TESTS_SCHEDULER_PLAN_PROPERTIES_H_
