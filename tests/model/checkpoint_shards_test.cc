#include "workers/model/checkpoint_shards.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/model/plan_fixture.h"

namespace rally::testing {
namespace {

TEST(CheckpointShards, EveryWeightIsInOneAndNoneIsEmpty) {
  const WeightLayout layout = LayOutWeights(TinyJob().model);
  for (const int32_t workers : {1, 2, 3, 4, 7, 20, 1000}) {
    const std::vector<CheckpointShard> shards = SplitWeights(layout, workers);
    EXPECT_EQ(shards.size(), std::min<size_t>(workers, layout.weights.size()));
    size_t next = 0;
    for (const CheckpointShard& shard : shards) {
      EXPECT_EQ(shard.first_weight, next);
      ASSERT_GT(shard.end_weight, shard.first_weight);
      next = shard.end_weight;
      EXPECT_EQ(shard.begin, layout.weights[shard.first_weight].offset);
      const WeightInfo& last = layout.weights[shard.end_weight - 1];
      EXPECT_EQ(shard.end, last.offset + last.elements);
    }
    EXPECT_EQ(next, layout.weights.size());
  }
}

TEST(CheckpointShards, AreOfAboutOneSize) {
  ModelShape shape = TinyJob().model;
  shape.layers = 16;
  const WeightLayout layout = LayOutWeights(shape);
  for (const CheckpointShard& shard : SplitWeights(layout, 4)) {
    EXPECT_NEAR(static_cast<double>(shard.elements()), layout.elements / 4.0,
                layout.elements / 40.0);
  }
}

TEST(CheckpointShards, FilesAreCalledAsHuggingFaceCallsThem) {
  EXPECT_EQ(ShardFileName("model", 0, 1), "model.safetensors");
  EXPECT_EQ(ShardFileName("model", 1, 12), "model-00002-of-00012.safetensors");
}

}  // namespace
}  // namespace rally::testing
