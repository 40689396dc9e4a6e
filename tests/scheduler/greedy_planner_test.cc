#include <algorithm>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "scheduler/phase_routes.h"
#include "scheduler/planner.h"

namespace rally {
namespace {

constexpr int32_t kWorkers = 8;
constexpr int64_t kChunkTokens = 131072;

// Two global batches of the public artefact of arXiv 2510.18121 (lengths drawn from its two length
// distributions, sequences of 524,288 tokens, eight workers) and what its planner, run unmodified,
// does on them: Llama-3 8B (32 query heads, 8 key/value heads, head_dim 128, bf16).
struct Published {
  std::vector<std::vector<int64_t>> groups;
  double tolerance;
  double max_over_mean;
  double forward_bytes_per_token;
};

std::vector<std::vector<int64_t>> Pretrain() {
  return {
      {15008, 15824, 1392,  12480, 12704, 13456, 3680,  10256, 7328,  20944, 19200, 17376, 15952,
       10752, 13968, 11280, 14256, 49760, 19840, 16176, 12832, 11472, 5472,  18928, 1552,  172400},
      {201600, 6208,  13936, 17904, 17072, 19040, 7424, 15600, 9920,  33488, 20208, 16736,
       18976,  11392, 12080, 3776,  19344, 24048, 9648, 22528, 17920, 3984,  1456}};
}

std::vector<std::vector<int64_t>> Prolong() {
  return {{6832,  6208,  9200,  4000,  8752, 17696, 33056, 9152,  6768,  5632,  11072, 4880,
           4608,  4608,  6000,  5904,  8112, 2880,  3072,  8208,  18640, 8224,  8432,  4480,
           19568, 13136, 7936,  13392, 8768, 5648,  3808,  3616,  3952,  4032,  3248,  6576,
           12848, 11920, 27536, 12080, 3952, 7088,  10720, 3664,  3568,  10592, 5312,  18128,
           11456, 8192,  5600,  7392,  2688, 6096,  10512, 11136, 16592, 6080,  11040},
          {34432, 20496, 4272, 6368,  4848, 5232,  22560, 15280, 3136, 9376, 9520,  2400,
           5360,  6912,  6688, 6272,  3616, 17904, 6656,  3872,  3456, 4560, 6896,  21760,
           3264,  4848,  7216, 22384, 5264, 39744, 6832,  26624, 5792, 3488, 11664, 45696,
           4352,  4880,  3376, 4800,  5296, 18496, 6368,  7040,  7504, 8512, 28800, 10176}};
}

GlobalBatch BatchOf(const std::vector<std::vector<int64_t>>& groups) {
  GlobalBatch batch;
  for (const std::vector<int64_t>& lengths : groups) {
    batch.groups.emplace_back();
    for (const int64_t tokens : lengths) batch.groups.back().push_back({0, 0, tokens, tokens});
  }
  return batch;
}

PlanInput LlamaInput(const GlobalBatch& batch) {
  PlanInput input;
  input.batch = &batch;
  input.shape = {kChunkTokens, kWorkers, 4 * kChunkTokens};
  input.topology = {kWorkers, 0, true};
  input.model.heads = 32;
  input.model.kv_heads = 8;
  input.model.head_dim = 128;
  input.ping_pong = false;
  return input;
}

double LargestOverMean(const Plan& plan) {
  const std::vector<int64_t> pairs = PairsByRank(plan, {});
  double largest = 0.0;
  double total = 0.0;
  for (const int64_t p : pairs) {
    largest = std::max(largest, static_cast<double>(p));
    total += static_cast<double>(p);
  }
  return largest * static_cast<double>(pairs.size()) / total;
}

// bf16: 8,192 bytes a query or an output row, 4,096 a key and value row.
double ForwardBytesPerToken(const Plan& plan) {
  int64_t bytes = 0;
  for (const Route& route : RoutePhase(plan, 0, 0).routes) {
    if (route.home != route.server) bytes += 2 * 8192 * route.query_rows + 4096 * route.kv_rows;
  }
  return static_cast<double>(bytes) / static_cast<double>(TokenCount(plan));
}

class PublishedGreedyTest : public testing::TestWithParam<Published> {};

TEST_P(PublishedGreedyTest, MakesThePublishedPlan) {
  const GlobalBatch batch = BatchOf(GetParam().groups);
  PlannerOptions options;
  options.tolerance = GetParam().tolerance;
  const auto planned = MakePlanner(PlannerKind::kGreedy, options)->MakePlan(LlamaInput(batch));
  ASSERT_TRUE(planned.ok()) << planned.status();
  ASSERT_TRUE(CheckPlan(planned->plan, {}).ok());
  // Published to four decimals, and to whole bytes.
  EXPECT_NEAR(LargestOverMean(planned->plan), GetParam().max_over_mean, 0.5001e-4);
  EXPECT_NEAR(ForwardBytesPerToken(planned->plan), GetParam().forward_bytes_per_token, 0.5001);
  EXPECT_NEAR(planned->report.largest_over_share, LargestOverMean(planned->plan), 1e-9);
  EXPECT_EQ(planned->report.within_tolerance,
            planned->report.largest_over_share <= 1.0 + options.tolerance);
}

INSTANTIATE_TEST_SUITE_P(Cases, PublishedGreedyTest,
                         testing::Values(Published{Pretrain(), 1e-9, 1.0, 7454},
                                         Published{Pretrain(), 0.05, 1.019, 6702},
                                         Published{Prolong(), 0.02, 1.0157, 2518},
                                         Published{Prolong(), 0.1, 1.1725, 1829}));

// Pairs of each server, of documents of these lengths on one chunk each.
std::vector<int64_t> PairsOf(const std::vector<int64_t>& lengths, const Topology& topology) {
  GlobalBatch batch;
  for (const int64_t tokens : lengths) batch.groups.push_back({{0, 0, tokens, tokens}});
  PlanInput input = LlamaInput(batch);
  input.shape = {lengths[0], static_cast<int64_t>(lengths.size()), lengths[0]};
  input.topology = topology;
  const auto planned = MakePlanner(PlannerKind::kGreedy, {.tolerance = 0.5})->MakePlan(input);
  EXPECT_TRUE(planned.ok()) << planned.status();
  EXPECT_TRUE(CheckPlan(planned->plan, {}).ok());
  return PairsByRank(planned->plan, {});
}

TEST(GreedyPlannerTest, KeepsTheMiddleRowOfAnOddDocumentHome) {
  // 9 rows: 45 pairs, four rings of 10 and the middle row's 5. The mean is 22.5: two rings move.
  EXPECT_EQ(PairsOf({9}, {1, 1, true}), (std::vector<int64_t>{25, 20}));
}

TEST(GreedyPlannerTest, LeavesNothingOnRanksOutsideOfThePool) {
  const std::vector<int64_t> dedicated = PairsOf({64, 64}, {2, 2, false});
  EXPECT_EQ(dedicated[0], 0);
  EXPECT_EQ(dedicated[1], 0);
  EXPECT_EQ(dedicated[2] + dedicated[3], 64 * 65);
  const std::vector<int64_t> excluded = PairsOf({64, 64}, {2, 1, true, 0, {0.0, 1.0, 1.0}});
  EXPECT_EQ(excluded[0], 0);
  EXPECT_GE(excluded[2], 64 * 65 / 4);
}

TEST(GreedyPlannerTest, RefusesWhatItCanNotMeet) {
  const GlobalBatch batch = BatchOf(Pretrain());
  PlanInput input = LlamaInput(batch);
  const auto code = [&input](double tolerance) {
    return MakePlanner(PlannerKind::kGreedy, {.tolerance = tolerance})
        ->MakePlan(input)
        .status()
        .code();
  };
  EXPECT_EQ(code(0.0), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(1.5), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(code(0.05), absl::StatusCode::kOk);
  input.topology.weights.assign(kWorkers, 0.0);
  EXPECT_EQ(code(0.05), absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace rally
