#include "scheduler/work_packing.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <set>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "scheduler/document_work.h"
#include "scheduler/shard_index.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

constexpr absl::string_view kProfile = R"(rally-profile 1
name test
source round figures
element-bytes 2
attention-shape 32 8 128
attention forward 128 64 1e9
attention backward 128 64 0.5e9
layer-parameters 1000000
linear forward 64 1e-2
linear forward 4096 1e-1
linear backward 4096 2e-1
transfer same-process 1 1e-6
transfer same-process 2 1e-6
transfer same-node 1 1e-6
transfer same-node 2 1e-6
transfer across-nodes 1 1e-6
transfer across-nodes 2 1e-6
phase backward 0 0
)";

ModelShape Llama() {
  return {
      .hidden_size = 4096, .feed_forward_size = 14336, .heads = 32, .kv_heads = 8, .head_dim = 128};
}

TEST(DocumentWorkTest, CountsTheLinearPartAsPairs) {
  const DocumentWork work(Llama(), nullptr, 4096);
  const double token = work.Of(2) - work.Of(1) - 2.0;  // The second row has two pairs.
  EXPECT_NEAR(token, 6.0 * LayerParameterCount(Llama()) / (3.5 * 4 * 32 * 128), 1e-9);
  EXPECT_NEAR(work.Of(1000), 1000 * 1001 / 2 + 1000 * token, 1e-6);
}

TEST(DocumentWorkTest, TakesSecondsOfACostModel) {
  const auto costs = CostModel::Parse(kProfile);
  ASSERT_TRUE(costs.ok()) << costs.status();
  const ModelShape model = Llama();
  const DocumentWork work(model, &*costs, 4096);
  const CaTask whole{0, 0, 512, 0, 512};
  const double scale = static_cast<double>(LayerParameterCount(model)) / 1e6;
  EXPECT_NEAR(work.Of(512), 512.0 * 513 / 2 * (1e-9 + 2e-9) + 512.0 / 4096 * (1e-1 + 2e-1) * scale,
              1e-9);
  EXPECT_GT(work.Of(512), costs->TaskSeconds(model, Direction::kForward, whole));
}

TEST(SpreadLoadsTest, GivesTheLargestToTheLeastLoaded) {
  // Loads 6, 5, 4, 3 over two workers: 6 + 3 and 5 + 4.
  const std::vector<DocumentLoad> documents = {{1, 3.0}, {1, 6.0}, {1, 5.0}, {1, 4.0}};
  const auto seats = SpreadLoads(documents, 1, 2, 100);
  ASSERT_TRUE(seats.has_value());
  EXPECT_EQ(*seats, (std::vector<DocumentSeat>{{0, 0}, {0, 0}, {0, 1}, {0, 1}}));
  // With room for two tokens in each of two micro-batches everyone sits alone.
  EXPECT_EQ(*SpreadLoads(documents, 2, 2, 1),
            (std::vector<DocumentSeat>{{1, 1}, {0, 0}, {0, 1}, {1, 0}}));
  EXPECT_FALSE(SpreadLoads(documents, 1, 3, 1).has_value());
}

TEST(SpreadLoadsTest, AlignsGroupsAndSharesTheirLoad) {
  const std::vector<DocumentLoad> documents = {{1, 9.0, 1}, {8, 16.0, 4}, {2, 2.0, 2}, {2, 1.0, 2}};
  const auto seats = SpreadLoads(documents, 1, 6, 4);
  ASSERT_TRUE(seats.has_value());
  // Four workers at 4 each; a pair on the two left over, and the other there too; the single one on
  // a worker of that pair.
  EXPECT_EQ(*seats, (std::vector<DocumentSeat>{{0, 4}, {0, 0}, {0, 4}, {0, 4}}));
}

// A planner's plan of documents drawn with heavy tails, checked.
struct Planned {
  BatchShape shape;
  ModelShape model = Llama();
  Plan plan;
};

Planned PlanRandom(PlannerKind kind, const BatchShape& shape, int32_t workers,
                   const PlannerOptions& options, uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::vector<int64_t> lengths = test::HeavyTailedLengths(3000, 600, 1 << 20, &random);
  const std::vector<int64_t> sources(lengths.size());
  const GlobalBatch batch = *BatchSampler(lengths, sources, shape, 1, false).Sample({});
  Planned planned{shape};
  PlanInput input;
  input.batch = &batch;
  input.shape = shape;
  input.topology = {workers, 0, false};
  input.model = planned.model;
  input.ping_pong = false;
  auto made = MakePlanner(kind, options)->MakePlan(input);
  EXPECT_TRUE(made.ok()) << made.status();
  planned.plan = std::move(made->plan);
  EXPECT_TRUE(CheckPlan(planned.plan, {}).ok()) << CheckPlan(planned.plan, {});
  return planned;
}

int64_t MostTokens(const Plan& plan) {
  int64_t most = 0;
  for (const MicroBatch& micro_batch : plan.micro_batches) {
    for (const Chunk& chunk : micro_batch.chunks) most = std::max(most, TokenCount(chunk));
  }
  return most;
}

// Over the mean work of a chunk, linear part and all: that of the largest chunk, and that of the
// largest document on its share of workers.
struct LargestWork {
  double chunk = 0.0;
  double document = 0.0;
};

LargestWork MeasureWork(const Planned& planned) {
  const DocumentWork work(planned.model, nullptr, planned.shape.chunk_tokens);
  const double token = work.Of(2) - work.Of(1) - 2.0;
  LargestWork largest;
  double total = 0.0;
  double chunks = 0.0;
  for (size_t m = 0; m < planned.plan.micro_batches.size(); ++m) {
    const MicroBatch& micro_batch = planned.plan.micro_batches[m];
    const std::vector<int64_t> pairs = PairsByRank(planned.plan, static_cast<int>(m), 0, {});
    for (size_t w = 0; w < pairs.size(); ++w) {
      const auto tokens = static_cast<double>(TokenCount(micro_batch.chunks[w]));
      const double chunk = static_cast<double>(pairs[w]) + token * tokens;
      largest.chunk = std::max(largest.chunk, chunk);
      total += chunk;
      chunks += 1.0;
    }
    const ShardIndex index(micro_batch);
    for (const ShardPlace& place : index.places()) {
      const int64_t length = planned.plan.documents[place.document].tokens;
      std::set<int32_t> homes;
      for (const ShardPlace& shard : index.Find(place.document, 0, length))
        homes.insert(shard.home);
      largest.document =
          std::max(largest.document, work.Of(length) / static_cast<double>(homes.size()));
    }
  }
  const double mean = total / chunks;
  return {largest.chunk / mean, largest.document / mean};
}

class WorkPackingTest : public testing::TestWithParam<PlannerKind> {};

TEST_P(WorkPackingTest, EvensOutWorkUnderTheTokenLimit) {
  for (uint64_t seed = 1; seed <= 10; ++seed) {
    // Documents of up to four chunks, on eight workers, four micro-batches.
    const BatchShape shape{16384, 32, 65536};
    const double local = MeasureWork(PlanRandom(PlannerKind::kLocal, shape, 8, {}, seed)).chunk;
    for (const double limit : {1.1, 1.5, 4.0}) {
      PlannerOptions options;
      options.chunk_token_limit = limit;
      const Planned even = PlanRandom(GetParam(), shape, 8, options, seed);
      EXPECT_LE(static_cast<double>(MostTokens(even.plan)), limit * 16384);
      const LargestWork largest = MeasureWork(even);
      EXPECT_LT(largest.chunk, local) << "limit " << limit;
      // With room enough only a document too long for its group stands out, and it sits alone.
      if (limit > 2.0) {
        EXPECT_LE(largest.chunk, std::max(1.1, largest.document + 1e-3));
      }
    }
    // No room to be uneven: what is left is context parallelism.
    PlannerOptions equal;
    equal.chunk_token_limit = 1.0;
    EXPECT_EQ(MostTokens(PlanRandom(GetParam(), shape, 8, equal, seed).plan), 16384);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, WorkPackingTest,
                         testing::Values(PlannerKind::kVariableLength, PlannerKind::kHybrid),
                         [](const testing::TestParamInfo<PlannerKind>& info) {
                           return std::string(PlannerName(info.param));
                         });

TEST(VariableLengthPlannerTest, SharesEveryDocumentWithinItsGroup) {
  PlannerOptions options;
  options.context_parallel = 2;
  // Documents of four chunks in groups of two: they fit at twice the tokens.
  const Planned planned =
      PlanRandom(PlannerKind::kVariableLength, {4096, 16, 16384}, 8, options, 3);
  EXPECT_LE(MostTokens(planned.plan), 8192);
  for (const MicroBatch& micro_batch : planned.plan.micro_batches) {
    const ShardIndex index(micro_batch);
    for (const ShardPlace& place : index.places()) {
      for (const ShardPlace& other : index.Find(place.document, 0, 1 << 20)) {
        EXPECT_EQ(other.home / 2, place.home / 2);
      }
    }
  }
}

TEST(VariableLengthPlannerTest, RefusesWhatCanNotHoldEveryBatch) {
  const GlobalBatch batch{{{{0, 0, 400, 400}}, {{0, 0, 400, 400}}}, {}};
  PlanInput input;
  input.batch = &batch;
  input.shape = {100, 8, 400};
  input.topology = {8, 0, false};
  const auto status = [&input](int32_t group, double limit) {
    PlannerOptions options;
    options.context_parallel = group;
    options.chunk_token_limit = limit;
    return MakePlanner(PlannerKind::kVariableLength, options)->MakePlan(input).status();
  };
  EXPECT_TRUE(status(0, 1.0).ok());
  EXPECT_TRUE(status(2, 2.0).ok());
  EXPECT_TRUE(status(1, 4.0).ok());
  EXPECT_FALSE(status(1, 3.99).ok());
  EXPECT_FALSE(status(2, 1.99).ok());
  EXPECT_FALSE(status(3, 4.0).ok());
  EXPECT_NE(status(4, 0.5).message().find("chunk_token_limit 0.5"), std::string::npos);
}

TEST(HybridPlannerTest, GivesLongDocumentsMoreWorkers) {
  // One document as heavy as the rest together: half of the workers; short ones stay whole.
  GlobalBatch batch;
  batch.groups.emplace_back();
  batch.groups[0].push_back({0, 0, 16384, 16384});
  for (int i = 0; i < 64; ++i) batch.groups[0].push_back({0, 0, 256, 256});
  PlanInput input;
  input.batch = &batch;
  input.shape = {4096, 8, 32768};
  input.topology = {8, 0, false};
  const auto planned = MakePlanner(PlannerKind::kHybrid, {})->MakePlan(input);
  ASSERT_TRUE(planned.ok()) << planned.status();
  const ShardIndex index(planned->plan.micro_batches[0]);
  EXPECT_EQ(index.Find(0, 0, 16384).size(), 15u);  // Eight workers: the middle two shards are one.
  for (int32_t d = 1; d <= 64; ++d) EXPECT_EQ(index.Find(d, 0, 256).size(), 1u);
  PlannerOptions options;
  options.context_parallel = 9;
  EXPECT_EQ(MakePlanner(PlannerKind::kHybrid, options)->MakePlan(input).status().code(),
            absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace rally
