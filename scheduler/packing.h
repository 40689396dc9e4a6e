// Packing: documents of a global batch onto the chunks of workers and micro-batches.
//
// Groups go to micro-batches in order: a micro-batch holds one chunk per worker, so
// workers / chunks_per_group groups; the last micro-batch may leave workers without tokens. Within
// a group the documents of ping come first, spread evenly over the group's chunks, then those of
// pong: so a document that spans workers keeps its ping shards before its pong shards. A document
// is kept in one nano-batch unless it is longer than a whole one.
//
// Pure functions; any thread.
#ifndef RALLY_SCHEDULER_PACKING_H_
#define RALLY_SCHEDULER_PACKING_H_

#include <cstdint>

#include <absl/status/statusor.h>

#include "scheduler/batch_sampler.h"
#include "scheduler/plan.h"

namespace rally {

// How a document that meets the end of a chunk goes on in the next one.
enum class DocumentCut : uint8_t {
  kSlices = 0,  // Its first rows stay, the later ones follow.
  kRings,       // Its outermost rows stay, half from its head and half from its tail, so that token
                // t and its mirror lie together; rows nearer to its middle follow.
};

// A plan with documents, micro_batches[].chunks, workers and next_position set, and no tasks.
// With ping_pong off every shard is in nano-batch 0. InvalidArgument when chunks_per_group does not
// divide `workers`.
absl::StatusOr<Plan> PackInOrder(const GlobalBatch& batch, const BatchShape& shape, int32_t workers,
                                 bool ping_pong, DocumentCut cut = DocumentCut::kSlices);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PACKING_H_
