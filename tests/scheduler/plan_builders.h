// Batches and plans for tests: heavy-tailed documents from a seed, and random valid tasks.
//
// Pure functions but for the generator they are given; any thread.
#ifndef RALLY_TESTS_SCHEDULER_PLAN_BUILDERS_H_
#define RALLY_TESTS_SCHEDULER_PLAN_BUILDERS_H_

#include <cstdint>
#include <random>
#include <vector>

#include "scheduler/batch_sampler.h"
#include "scheduler/packing.h"
#include "scheduler/plan.h"

namespace rally::test {

// Log-normal lengths: median `median` tokens, a mean about three times that (sigma 1.5), as web
// text and code have, cut at `longest`.
std::vector<int64_t> HeavyTailedLengths(size_t count, double median, int64_t longest,
                                        std::mt19937_64* random);

// A packed plan without tasks over documents of these lengths in this order.
Plan PackLengths(const std::vector<int64_t>& lengths, const BatchShape& shape, int32_t workers,
                 bool ping_pong = true);

// Fills in random tasks: shards cut at random rows and key ranges, servers at random. Valid.
void AssignRandomly(AttentionMask mask, int32_t dedicated_servers, std::mt19937_64* random,
                    Plan* plan);

}  // namespace rally::test

#endif  // RALLY_TESTS_SCHEDULER_PLAN_BUILDERS_H_
