#include "scheduler/packing.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "scheduler/planner.h"
#include "scheduler/shard_index.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

GlobalBatch OneGroup(const std::vector<int64_t>& lengths) {
  GlobalBatch batch;
  batch.groups.emplace_back();
  for (const int64_t tokens : lengths) batch.groups[0].push_back({0, 0, tokens, tokens});
  return batch;
}

// Tokens of the group's ping and pong.
std::array<int64_t, 2> Halves(const Plan& plan) {
  std::array<int64_t, 2> halves = {};
  for (const Chunk& chunk : plan.micro_batches[0].chunks) {
    for (int n = 0; n < kNanoBatches; ++n) halves[n] += TokenCount(chunk.nano_batches[n]);
  }
  return halves;
}

TEST(PackInOrderTest, GivesEveryWorkerTheSameTokensAndKeepsDocumentsWhole) {
  std::mt19937_64 random(2);
  for (const int64_t group : {1, 2, 4}) {
    const BatchShape shape{512, 16, 512 * group};
    for (int round = 0; round < 20; ++round) {
      const Plan plan = test::PackLengths(test::HeavyTailedLengths(2000, 40, 1 << 20, &random),
                                          shape, /*workers=*/8);
      ASSERT_EQ(plan.micro_batches.size(), 2u);
      std::vector<bool> seen(plan.documents.size());
      for (const MicroBatch& micro_batch : plan.micro_batches) {
        for (const Chunk& chunk : micro_batch.chunks) {
          EXPECT_EQ(TokenCount(chunk), 512);
          EXPECT_GT(TokenCount(chunk.nano_batches[0]), 0);
          EXPECT_GT(TokenCount(chunk.nano_batches[1]), 0);
        }
        for (size_t d = 0; d < plan.documents.size(); ++d) {
          const auto tokens = plan.documents[d].tokens;
          const ShardIndex index(micro_batch);
          const auto places = index.Find(static_cast<int32_t>(d), 0, tokens);
          if (places.empty()) continue;
          seen[d] = true;
          if (tokens <= 512 * group / 2) {
            EXPECT_EQ(places.front().nano_batch, places.back().nano_batch);
          }
          if (group == 1) {
            EXPECT_EQ(places.front().home, places.back().home);
          }
        }
      }
      EXPECT_EQ(std::count(seen.begin(), seen.end(), false), 0);
      Plan local = plan;
      ASSERT_TRUE(AssignLocally({8, 0, false}, {}, &local).ok());
      const absl::Status check = CheckPlan(local, {});
      EXPECT_TRUE(check.ok()) << check;
    }
  }
}

TEST(PackInOrderTest, SharesAGroupThatIsNotFullToOneToken) {
  for (int64_t tokens = 1; tokens < 40; ++tokens) {
    const auto plan = PackInOrder(OneGroup({tokens}), {10, 4, 40}, 4, true);
    ASSERT_TRUE(plan.ok());
    int64_t least = tokens;
    int64_t most = 0;
    for (const Chunk& chunk : plan->micro_batches[0].chunks) {
      least = std::min(least, TokenCount(chunk));
      most = std::max(most, TokenCount(chunk));
    }
    EXPECT_LE(most - least, 1);
    EXPECT_EQ(Halves(*plan)[1], tokens / 2);
  }
}

TEST(PackInOrderTest, SplitsHalvesAsEvenlyAsAGreedyFinds) {
  const auto halves = [](const std::vector<int64_t>& lengths) {
    return Halves(*PackInOrder(OneGroup(lengths), {100, 1, 100}, 1, true));
  };
  using Pair = std::array<int64_t, 2>;
  EXPECT_EQ(halves({10, 10}), (Pair{10, 10}));
  EXPECT_EQ(halves({30, 20, 30, 20}), (Pair{50, 50}));
  EXPECT_EQ(halves({1, 99}), (Pair{50, 50}));       // Longer than a nano-batch: cut.
  EXPECT_EQ(halves({30, 30, 30}), (Pair{60, 30}));  // Nothing is cut.
  EXPECT_EQ(halves({2}), (Pair{1, 1}));
  EXPECT_EQ(halves({1}), (Pair{1, 0}));
  EXPECT_EQ(halves({1, 1}), (Pair{1, 1}));
  EXPECT_EQ(halves({1, 2}), (Pair{2, 1}));
}

TEST(PackInOrderTest, PutsAllIntoPingWithoutPingPong) {
  const auto plan = PackInOrder(OneGroup({30, 70}), {50, 2, 100}, 2, false);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(plan->micro_batches[0].chunks[0].nano_batches[0], (NanoBatch{{0, 0, 30}, {1, 0, 20}}));
  EXPECT_EQ(plan->micro_batches[0].chunks[1].nano_batches[0], (NanoBatch{{1, 20, 70}}));
  EXPECT_EQ(Halves(*plan)[1], 0);
}

TEST(PackInOrderTest, LeavesWorkersOfTheLastMicroBatchEmpty) {
  const Plan plan = test::PackLengths({64}, {64, 3, 64}, 2);
  ASSERT_EQ(plan.micro_batches.size(), 2u);
  EXPECT_EQ(TokenCount(plan.micro_batches[1].chunks[0]), 64);
  EXPECT_EQ(TokenCount(plan.micro_batches[1].chunks[1]), 0);
  EXPECT_EQ(TokenCount(plan), 3 * 64);
}

TEST(PackInOrderTest, RefusesWorkersThatDoNotHoldAGroup) {
  EXPECT_EQ(PackInOrder(OneGroup({10}), {10, 4, 20}, 3, true).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(PackInOrderTest, CutsInRingsFromTheOutside) {
  // Chunks of four: the document of ten leaves three rows to the first, so one of its head and two
  // of its tail.
  const GlobalBatch batch = OneGroup({1, 10, 1});
  const auto plan = PackInOrder(batch, {4, 3, 12}, 3, /*ping_pong=*/false, DocumentCut::kRings);
  ASSERT_TRUE(plan.ok()) << plan.status();
  const std::vector<Chunk>& chunks = plan->micro_batches[0].chunks;
  EXPECT_EQ(chunks[0].nano_batches[0], (NanoBatch{{0, 0, 1}, {1, 0, 1}, {1, 8, 10}}));
  EXPECT_EQ(chunks[1].nano_batches[0], (NanoBatch{{1, 1, 3}, {1, 6, 8}}));
  EXPECT_EQ(chunks[2].nano_batches[0], (NanoBatch{{1, 3, 6}, {2, 0, 1}}));
}

}  // namespace
}  // namespace rally
