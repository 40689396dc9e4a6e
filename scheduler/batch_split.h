// BatchSplit: which documents of a global batch each phase holds.
//
// The order of documents inside a global batch does not change its gradient, so they are spread
// over micro-batches and nano-batches freely: longest first, each to the part with the most work
// left per token. A document lies in one nano-batch unless it is longer than a whole one; then ping
// holds its first rows and pong the rest. All workers hold the same tokens of a phase, up to one.
//
// Pure functions; any thread.
#ifndef RALLY_SCHEDULER_BATCH_SPLIT_H_
#define RALLY_SCHEDULER_BATCH_SPLIT_H_

#include <array>
#include <cstdint>
#include <vector>

#include "scheduler/batch_sampler.h"
#include "scheduler/ca_task.h"
#include "scheduler/document.h"

namespace rally {

struct PhaseDocuments {
  std::vector<DocumentShard> documents;  // Longest first.
  std::vector<int64_t> tokens;           // Of each worker. [workers]
};

struct BatchSplit {
  std::vector<Document> documents;  // The batch's, in order of arrival: what the shards index.
  std::vector<std::array<PhaseDocuments, kNanoBatches>> micro_batches;
};

// Micro-batches hold `workers` chunks of tokens each, the last what is left. Their documents come
// from anywhere in the batch, unless that would make one larger than its chunks by more than a
// sixty-fourth; then they hold consecutive groups, which fill them exactly. With ping_pong off
// everything is in ping.
BatchSplit SplitBatch(const GlobalBatch& batch, const BatchShape& shape, int32_t workers,
                      bool ping_pong, AttentionMask mask);

}  // namespace rally

#endif  // RALLY_SCHEDULER_BATCH_SPLIT_H_
