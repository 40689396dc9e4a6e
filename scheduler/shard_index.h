// ShardIndex: finds the document shards of one micro-batch by document and position.
//
// Built once from the chunks in O(shards log shards); copies what it needs. Immutable, any thread.
#ifndef RALLY_SCHEDULER_SHARD_INDEX_H_
#define RALLY_SCHEDULER_SHARD_INDEX_H_

#include <cstdint>
#include <vector>

#include <absl/types/span.h>

#include "scheduler/plan.h"

namespace rally {

// One document shard and where it lies.
struct ShardPlace {
  int32_t document = 0;
  int64_t begin = 0;  // Rows [begin, end) of the document.
  int64_t end = 0;
  int32_t home = 0;  // Worker rank.
  int32_t nano_batch = 0;
  int64_t row = 0;  // Row of `begin` in the home's nano-batch.

  int64_t rows() const { return end - begin; }
  friend bool operator==(const ShardPlace&, const ShardPlace&) = default;
};

class ShardIndex {
 public:
  explicit ShardIndex(const MicroBatch& micro_batch);

  // Every shard that is not empty, ordered by document, then position.
  const std::vector<ShardPlace>& places() const { return places_; }

  // The places that share rows with [begin, end) of a document, in order; at most the first and
  // the last reach outside. Assumes that shards of a document do not overlap.
  absl::Span<const ShardPlace> Find(int32_t document, int64_t begin, int64_t end) const;

 private:
  std::vector<ShardPlace> places_;
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_SHARD_INDEX_H_
