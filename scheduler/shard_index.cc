#include "scheduler/shard_index.h"

#include <algorithm>
#include <tuple>

namespace rally {

ShardIndex::ShardIndex(const MicroBatch& micro_batch) {
  for (size_t home = 0; home < micro_batch.chunks.size(); ++home) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      int64_t row = 0;
      for (const DocumentShard& shard : micro_batch.chunks[home].nano_batches[nano_batch]) {
        if (shard.tokens() <= 0) continue;
        places_.push_back(
            {shard.document, shard.begin, shard.end, static_cast<int32_t>(home), nano_batch, row});
        row += shard.tokens();
      }
    }
  }
  std::sort(places_.begin(), places_.end(), [](const ShardPlace& a, const ShardPlace& b) {
    return std::tie(a.document, a.begin) < std::tie(b.document, b.begin);
  });
}

absl::Span<const ShardPlace> ShardIndex::Find(int32_t document, int64_t begin, int64_t end) const {
  const auto first = std::partition_point(
      places_.begin(), places_.end(), [document, begin](const ShardPlace& place) {
        return place.document < document || (place.document == document && place.end <= begin);
      });
  const auto last =
      std::partition_point(first, places_.end(), [document, end](const ShardPlace& place) {
        return place.document == document && place.begin < end;
      });
  return absl::MakeConstSpan(places_).subspan(first - places_.begin(), last - first);
}

}  // namespace rally
