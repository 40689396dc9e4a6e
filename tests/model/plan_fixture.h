// Plans and tokens for the model's tests, made by the project's own packing and planners.
#ifndef RALLY_TESTS_MODEL_PLAN_FIXTURE_H_
#define RALLY_TESTS_MODEL_PLAN_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "scheduler/job_spec.h"
#include "scheduler/plan.h"
#include "scheduler/planner.h"
#include "workers/model/token_rows.h"

namespace rally::testing {

// A job with a tiny model that learns in a few steps.
JobSpec TinyJob();

// Documents of these lengths, visited in order, again and again.
struct Corpus {
  std::vector<int64_t> lengths;
  int64_t vocabulary = 32;

  // A fixed walk through the vocabulary with some noise: there is something to learn.
  int32_t TokenAt(int64_t source, int64_t index) const;
  ReadTokens Reader() const;
};

// The plan of step `step` of `spec` over `corpus`: step 1 begins at `position`.
std::shared_ptr<Plan> MakePlan(const JobSpec& spec, const Corpus& corpus, int64_t step,
                               const DataPosition& position, PlanKind kind = PlanKind::kTrain,
                               PlannerKind planner = PlannerKind::kArrival);

}  // namespace rally::testing

#endif  // RALLY_TESTS_MODEL_PLAN_FIXTURE_H_
