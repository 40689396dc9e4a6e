#include "workers/model/checkpoint_shards.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

namespace rally {

std::vector<CheckpointShard> SplitWeights(const WeightLayout& layout, int32_t workers) {
  const std::vector<WeightInfo>& weights = layout.weights;
  const size_t shards = std::min(weights.size(), static_cast<size_t>(std::max(1, workers)));
  std::vector<CheckpointShard> result;
  size_t first = 0;
  for (size_t i = 0; i < shards; ++i) {
    const size_t most = weights.size() - (shards - 1 - i);  // One weight at least for each other.
    const double target = static_cast<double>(layout.elements) * (i + 1) / shards;
    size_t end = first + 1;
    const auto middle = [&weights](size_t w) {
      return static_cast<double>(weights[w].offset) + weights[w].elements / 2.0;
    };
    while (end < most && (i + 1 == shards || middle(end) < target)) ++end;
    const WeightInfo& last = weights[end - 1];
    result.push_back({first, end, weights[first].offset, last.offset + last.elements});
    first = end;
  }
  return result;
}

std::string ShardFileName(const std::string& stem, size_t shard, size_t shards) {
  if (shards == 1) return absl::StrCat(stem, ".safetensors");
  return absl::StrFormat("%s-%05d-of-%05d.safetensors", stem, shard + 1, shards);
}

}  // namespace rally
