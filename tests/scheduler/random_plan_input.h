// RandomPlanInput: everything a planner may be asked, from a string of bytes.
//
// The bytes come from a generator in the tests and from the fuzzer; any string gives a valid input.
// Lengths lie in [1, 1,000,000], workers and dedicated servers in [1, 512] together; weights,
// exclusions, windows, ping-pong, micro-batches and nodes vary.
#ifndef RALLY_TESTS_SCHEDULER_RANDOM_PLAN_INPUT_H_
#define RALLY_TESTS_SCHEDULER_RANDOM_PLAN_INPUT_H_

#include <cstddef>
#include <cstdint>

#include "scheduler/planner.h"

namespace rally::test {

struct RandomPlanInput {
  GlobalBatch batch;
  PlanInput input;  // Refers to `batch`: not to be copied or moved.
  PlannerOptions options;

  // Fewer documents make plans faster: about `most_documents`, though at least 4 a group.
  RandomPlanInput(const uint8_t* data, size_t size, int64_t most_documents = 20'000);
  RandomPlanInput(const RandomPlanInput&) = delete;
  RandomPlanInput& operator=(const RandomPlanInput&) = delete;
};

}  // namespace rally::test

#endif  // RALLY_TESTS_SCHEDULER_RANDOM_PLAN_INPUT_H_
