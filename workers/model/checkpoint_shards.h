// CheckpointShards: how a checkpoint's weights are spread over the workers that write it.
//
// All workers hold the same weights, so any split will do; this one gives each worker neighbouring
// weights of about the same size together, whole ones, as Hugging Face's readers want them. A shard
// is one range of the flat arrays, so that taking a copy of it is three block copies. Readers do
// not depend on the split: they look into the files.
//
// Plain data and pure functions; any thread.
#ifndef RALLY_WORKERS_MODEL_CHECKPOINT_SHARDS_H_
#define RALLY_WORKERS_MODEL_CHECKPOINT_SHARDS_H_

#include <cstdint>
#include <string>
#include <vector>

#include <absl/types/span.h>

#include "workers/model/weight_layout.h"

namespace rally {

// Flat arrays of one WeightLayout.
struct CheckpointArrays {
  absl::Span<float> values;
  absl::Span<float> first_moment;
  absl::Span<float> second_moment;
};

struct CheckpointShard {
  size_t first_weight = 0;  // Of WeightLayout::weights.
  size_t end_weight = 0;
  int64_t begin = 0;  // Elements [begin, end) of the flat arrays.
  int64_t end = 0;

  int64_t elements() const { return end - begin; }
};

// One shard for each worker, none empty: fewer than `workers` when there are fewer weights.
std::vector<CheckpointShard> SplitWeights(const WeightLayout& layout, int32_t workers);

// "<stem>.safetensors", or "<stem>-00002-of-00003.safetensors" of shard 1 of several.
std::string ShardFileName(const std::string& stem, size_t shard, size_t shards);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_CHECKPOINT_SHARDS_H_
