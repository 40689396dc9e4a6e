// BatchSampler: which documents the next global batch holds, from lengths and a seed alone.
//
// Deterministic: the batch at a DataPosition depends on the lengths, the options and the position
// only, never on the number of workers or servers. Documents are visited in an order shuffled anew
// each pass (Fisher-Yates over a counter-based generator seeded by (seed, pass)).
//
// The global batch is `chunks` chunks of `chunk_tokens` tokens, in groups of
// ceil(max_document_tokens / chunk_tokens) chunks. Each group is filled to the last token:
// documents are laid end to end, pieces are at most max_document_tokens long, and the piece that
// meets the end of its group is cut there; the rest of it opens the next group as a document of its
// own. A cut loses no target: the last token before the cut still predicts its successor.
//
// Thread-compatible: owned by one planner thread. Lengths are borrowed and must outlive it.
#ifndef RALLY_SCHEDULER_BATCH_SAMPLER_H_
#define RALLY_SCHEDULER_BATCH_SAMPLER_H_

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "scheduler/document.h"
#include "scheduler/plan.h"

namespace rally {

// Most documents of a global batch: planning takes seconds then, and a message of the plan comes
// near its largest size.
inline constexpr int64_t kMostBatchDocuments = 1 << 20;

struct BatchShape {
  int64_t chunk_tokens = 2048;         // Tokens of one chunk, at least 1.
  int64_t chunks = 2;                  // Chunks of a global batch, at least 1.
  int64_t max_document_tokens = 2048;  // Longest piece; its chunk count divides `chunks`.

  // Chunks a document may span: ceil(max_document_tokens / chunk_tokens).
  int64_t chunks_per_group() const {
    return (max_document_tokens + chunk_tokens - 1) / chunk_tokens;
  }
  int64_t tokens() const { return chunk_tokens * chunks; }
  friend bool operator==(const BatchShape&, const BatchShape&) = default;
};

// The documents of one global batch, by group, in arrival order.
struct GlobalBatch {
  std::vector<std::vector<Document>> groups;
  DataPosition next_position;
};

class BatchSampler {
 public:
  // `lengths[i]` is the token count of document i of the split, at least one document, each >= 1;
  // `sources[i]` its index in the dataset (Document::source).
  BatchSampler(absl::Span<const int64_t> lengths, absl::Span<const int64_t> sources,
               BatchShape shape, uint64_t seed, bool shuffle);

  // InvalidArgument when the batch would hold more than kMostBatchDocuments.
  absl::StatusOr<GlobalBatch> Sample(const DataPosition& position);

 private:
  void ShuffleFor(int64_t pass);

  absl::Span<const int64_t> lengths_;
  absl::Span<const int64_t> sources_;
  const BatchShape shape_;
  const uint64_t seed_;
  const bool shuffle_;
  int64_t shuffled_pass_ = -1;
  std::vector<int32_t> order_;  // Visiting order of pass shuffled_pass_.
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_BATCH_SAMPLER_H_
