// Packing by work: chunks of about equal work and unequal tokens, every task at home.
//
// Pure functions; any thread.
#ifndef RALLY_SCHEDULER_WORK_PACKING_H_
#define RALLY_SCHEDULER_WORK_PACKING_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "scheduler/load_spread.h"
#include "scheduler/planner.h"

namespace rally {

// The most tokens of a chunk: `limit` times the batch's chunk_tokens, rounded down.
// InvalidArgument when `limit` is below 1.
absl::StatusOr<int64_t> ChunkTokenLimit(const BatchShape& shape, double limit);

// Micro-batches that the batch's tokens fill at chunk_tokens per worker.
int32_t MicroBatchesOf(const PlanInput& input);

// Every document of the batch, in order, with its work (DocumentWork) as load and a group of one.
std::vector<DocumentLoad> DocumentLoads(const PlanInput& input);

// Documents over groups of workers of the sizes given, in head and tail shards within their group,
// so that work is even; where that finds no room under `token_limit` tokens per chunk, so that
// tokens are. None when that does not either. No tasks yet.
std::optional<Plan> PackByWork(const PlanInput& input, std::vector<DocumentLoad> documents,
                               int64_t token_limit);

}  // namespace rally

#endif  // RALLY_SCHEDULER_WORK_PACKING_H_
