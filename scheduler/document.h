// Documents, their shards and chunks: what the planner knows of a batch.
//
// A document is known by its length alone. A chunk is the packed sequence one worker holds for one
// micro-batch, in two halves, the nano-batches ping (0) and pong (1). A document shard is the
// slice of a document that lies in one nano-batch of one chunk; that worker is the shard's home.
//
// Plain data: no ownership beyond the vectors, safe to copy and to read from any thread.
#ifndef RALLY_SCHEDULER_DOCUMENT_H_
#define RALLY_SCHEDULER_DOCUMENT_H_

#include <array>
#include <cstdint>
#include <vector>

namespace rally {

inline constexpr int kNanoBatches = 2;  // Ping and pong.

// A run of tokens that attends only to itself. The batch sampler cuts dataset documents that are
// longer than the job allows; each piece is a Document of its own.
struct Document {
  int64_t source = 0;        // Index of the dataset document it comes from.
  int64_t source_begin = 0;  // First token inside that dataset document.
  int64_t tokens = 0;        // Length in tokens, at least 1.
  int64_t targets = 0;       // Tokens that have a successor to predict: tokens, or tokens - 1 when
                             // the piece ends where its dataset document ends.

  friend bool operator==(const Document&, const Document&) = default;
};

// Tokens [begin, end) of Plan::documents[document]; positions count from the document's start.
struct DocumentShard {
  int32_t document = 0;
  int64_t begin = 0;
  int64_t end = 0;

  int64_t tokens() const { return end - begin; }
  friend bool operator==(const DocumentShard&, const DocumentShard&) = default;
};

// The shards of one nano-batch on one worker, in row order: row r of the nano-batch's tensors is
// found by walking the shards. May be empty.
using NanoBatch = std::vector<DocumentShard>;

// One worker's packed sequence for one micro-batch.
struct Chunk {
  std::array<NanoBatch, kNanoBatches> nano_batches;

  friend bool operator==(const Chunk&, const Chunk&) = default;
};

// Rows of a nano-batch.
int64_t TokenCount(const NanoBatch& nano_batch);
// Rows of a chunk, both nano-batches.
int64_t TokenCount(const Chunk& chunk);

}  // namespace rally

#endif  // RALLY_SCHEDULER_DOCUMENT_H_
