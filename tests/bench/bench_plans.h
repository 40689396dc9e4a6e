// Plans for benches: chunks of documents of chosen lengths, with and without a pool.
//
// Pure functions; any thread.
#ifndef RALLY_TESTS_BENCH_BENCH_PLANS_H_
#define RALLY_TESTS_BENCH_BENCH_PLANS_H_

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>

#include "scheduler/job_spec.h"
#include "scheduler/plan.h"

namespace rally::bench {

// Document lengths by chunk; one chunk per worker. Each must add up to spec.batch.chunk_tokens.
using ChunkLengths = std::vector<std::vector<int64_t>>;

// A checked training plan over `lengths`: by the local planner, or by the balancing one over the
// spec's pool.
absl::StatusOr<Plan> MakeBenchPlan(const JobSpec& spec, const ChunkLengths& lengths, bool balanced);

// One chunk of a single document, the others of documents of `short_tokens` each.
ChunkLengths OneLongDocument(int32_t workers, int64_t chunk_tokens, int64_t short_tokens);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_BENCH_PLANS_H_
