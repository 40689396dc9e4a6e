#include <algorithm>
#include <cstdint>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "scheduler/phase_routes.h"
#include "scheduler/planner.h"
#include "scheduler/shard_index.h"

namespace rally {
namespace {

// Groups of documents, each filling `chunks_per_group` chunks.
GlobalBatch BatchOf(const std::vector<std::vector<int64_t>>& groups) {
  GlobalBatch batch;
  for (const std::vector<int64_t>& lengths : groups) {
    batch.groups.emplace_back();
    for (const int64_t tokens : lengths) batch.groups.back().push_back({0, 0, tokens, tokens});
  }
  return batch;
}

Plan PlanOf(PlannerKind kind, const GlobalBatch& batch, const BatchShape& shape, int32_t workers,
            int32_t context_parallel, int64_t granularity = 1) {
  PlanInput input;
  input.batch = &batch;
  input.shape = shape;
  input.topology = {workers, 0, false};
  PlannerOptions options;
  options.context_parallel = context_parallel;
  options.query_granularity = granularity;
  auto planned = MakePlanner(kind, options)->MakePlan(input);
  EXPECT_TRUE(planned.ok()) << planned.status();
  EXPECT_TRUE(CheckPlan(planned->plan, {}).ok()) << CheckPlan(planned->plan, {});
  return planned->plan;
}

TEST(ContextParallelPlannerTest, CutsEveryDocumentInHeadAndTailShards) {
  const GlobalBatch batch = BatchOf({{16, 8}});
  const Plan plan = PlanOf(PlannerKind::kContextParallel, batch, {6, 4, 24}, 4, 0);
  const std::vector<Chunk>& chunks = plan.micro_batches[0].chunks;
  EXPECT_EQ(chunks[0].nano_batches[0], (NanoBatch{{0, 0, 2}, {0, 14, 16}, {1, 0, 1}, {1, 7, 8}}));
  EXPECT_EQ(chunks[1].nano_batches[0], (NanoBatch{{0, 2, 4}, {0, 12, 14}, {1, 1, 2}, {1, 6, 7}}));
  EXPECT_EQ(chunks[3].nano_batches[0], (NanoBatch{{0, 6, 10}, {1, 3, 5}}));
  const std::vector<int64_t> pairs = PairsByRank(plan, {});
  EXPECT_EQ(pairs, std::vector<int64_t>(4, (16 * 17 / 2 + 8 * 9 / 2) / 4));
  // Its gather: the worker with the last shard pulls every key that it does not hold.
  int64_t pulled = 0;
  for (const Route& route : RoutePhase(plan, 0, 0).routes) {
    if (route.home == route.server) continue;
    EXPECT_EQ(route.query_rows, 0);
    if (route.server == 0) pulled += route.kv_rows;
  }
  EXPECT_EQ(pulled, 12 + 6);
}

TEST(ContextParallelPlannerTest, EvensOutTheRowsOfOddDocuments) {
  // Groups of two chunks of 50; context parallelism over four workers takes two of them together.
  const std::vector<int64_t> lengths = {1, 2, 3, 5, 7, 11, 13, 17, 19, 22};
  const GlobalBatch batch = BatchOf({lengths, lengths, lengths, lengths, lengths});
  const Plan plan = PlanOf(PlannerKind::kContextParallel, batch, {50, 10, 100}, 8, 4);
  ASSERT_EQ(plan.micro_batches.size(), 2u);
  for (int32_t worker = 0; worker < 8; ++worker) {
    EXPECT_EQ(TokenCount(plan.micro_batches[0].chunks[worker]), 50);
    EXPECT_EQ(TokenCount(plan.micro_batches[1].chunks[worker]), worker < 4 ? 25 : 0);
  }
}

TEST(ContextParallelPlannerTest, RefusesGroupsThatDoNotFit) {
  const GlobalBatch batch = BatchOf({{24}, {24}});
  PlanInput input;
  input.batch = &batch;
  input.shape = {12, 4, 24};
  input.topology = {4, 0, false};
  for (const int32_t group : {-1, 1, 3, 8}) {  // Not >= 1, not 2n, not a divisor of 4, too large.
    PlannerOptions options;
    options.context_parallel = group;
    const absl::Status status =
        MakePlanner(PlannerKind::kContextParallel, options)->MakePlan(input).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find("context_parallel " + std::to_string(group)), std::string::npos)
        << status;
  }
}

TEST(ContextParallelPlannerTest, RefusesAGroupLargerThanItsChunks) {
  const GlobalBatch batch = BatchOf({{24, 1}});
  PlanInput input;
  input.batch = &batch;
  input.shape = {12, 4, 24};
  input.topology = {4, 0, false};
  EXPECT_EQ(MakePlanner(PlannerKind::kContextParallel, {})->MakePlan(input).status().code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(RingPlannerTest, TakesTheKeysOfOneOwnerAtATime) {
  const GlobalBatch batch = BatchOf({{1000, 600}});
  const Plan plan = PlanOf(PlannerKind::kRing, batch, {400, 4, 1600}, 4, 4);
  EXPECT_EQ(
      plan.micro_batches[0].chunks,
      PlanOf(PlannerKind::kContextParallel, batch, {400, 4, 1600}, 4, 4).micro_batches[0].chunks);
  const ShardIndex index(plan.micro_batches[0]);
  for (const CaTask& task : plan.micro_batches[0].tasks[0]) {
    EXPECT_EQ(index.Find(task.document, task.kv_begin, task.kv_end).size(), 1u);
    EXPECT_EQ(index.Find(task.document, task.q_begin, task.q_end)[0].home, task.server);
  }
  // Seven shards a document, the middle two being one: 1 + 2 + ... + 7 steps.
  EXPECT_EQ(plan.micro_batches[0].tasks[0].size(), 2u * 28);
}

TEST(RingPlannerTest, JoinsStepsOfFewKeys) {
  const GlobalBatch batch = BatchOf({{1024}});  // Shards of 128 rows, the middle one of 256.
  const Plan plan = PlanOf(PlannerKind::kRing, batch, {256, 4, 1024}, 4, 4, /*granularity=*/256);
  for (const CaTask& task : plan.micro_batches[0].tasks[0]) {
    EXPECT_TRUE(task.kv_rows() >= 256 || task.kv_end == task.q_end);
    EXPECT_LE(task.kv_rows(), 384);
  }
}

}  // namespace
}  // namespace rally
