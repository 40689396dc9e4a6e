#include "scheduler/baseline_planners.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

using Random = std::mt19937_64;

int64_t Between(int64_t low, int64_t high, Random* random) {
  return std::uniform_int_distribution<int64_t>(low, high)(*random);
}

// A random planning input that owns its batch: 1 to 64 workers, documents of 1 to 100,000 tokens.
struct RandomInput {
  GlobalBatch batch;
  PlanInput input;
};

void Fill(Random* random, RandomInput* made) {
  const int64_t chunks_per_group = int64_t{1} << Between(0, 3, random);
  const int64_t most = 64 / chunks_per_group;
  const int64_t workers = chunks_per_group * Between(1, most, random);
  // Short chunks hold short documents alone: lengths rise with a power of two.
  const int64_t chunk_tokens = (int64_t{1} << Between(3, 15, random)) + Between(0, 7, random);
  const int64_t longest =
      std::min<int64_t>(100'000, chunks_per_group * chunk_tokens - Between(0, 5, random));
  PlanInput& input = made->input;
  input.shape = {chunk_tokens, chunks_per_group * Between(1, most + most / 2, random),
                 std::max(longest, (chunks_per_group - 1) * chunk_tokens + 1)};
  const double median = std::pow(2.0, std::uniform_real_distribution<double>(0.0, 16.0)(*random));
  const std::vector<int64_t> lengths = test::HeavyTailedLengths(
      400, std::max(median, static_cast<double>(chunk_tokens) / 50), 100'000, random);
  std::vector<int64_t> sources(lengths.size());
  made->batch = *BatchSampler(lengths, sources, input.shape, 1, false).Sample({});
  input.batch = &made->batch;
  input.topology = {static_cast<int32_t>(workers), static_cast<int32_t>(Between(0, 3, random)),
                    Between(0, 1, random) == 1};
  input.ping_pong = Between(0, 1, random) == 1;
  input.model.mask.window = Between(0, 1, random) == 1 ? Between(1, 2 * chunk_tokens, random) : 0;
}

bool BalancesWork(PlannerKind kind) {
  return kind == PlannerKind::kVariableLength || kind == PlannerKind::kHybrid;
}

class BaselinePlannerTest : public testing::TestWithParam<PlannerKind> {};

TEST_P(BaselinePlannerTest, EveryPlanIsExactAndTheSameEveryTime) {
  Random random(5);
  for (int round = 0; round < 80; ++round) {
    RandomInput made;
    Fill(&random, &made);
    const PlanInput& input = made.input;
    SCOPED_TRACE(testing::Message()
                 << "round " << round << ": " << input.topology.workers << " workers, chunks of "
                 << input.shape.chunk_tokens << ", documents to " << input.shape.max_document_tokens
                 << ", window " << input.model.mask.window << ", ping-pong " << input.ping_pong);
    PlannerOptions options;
    options.tolerance = 0.02;
    options.chunk_token_limit = std::vector<double>{1.0, 1.2, 2.0, 3.0}[round % 4];
    const auto planned = MakePlanner(GetParam(), options)->MakePlan(input);
    ASSERT_TRUE(planned.ok()) << planned.status();
    const absl::Status check = CheckPlan(planned->plan, input.model.mask);
    ASSERT_TRUE(check.ok()) << check;
    const double limit = BalancesWork(GetParam()) ? options.chunk_token_limit : 1.0;
    for (const MicroBatch& micro_batch : planned->plan.micro_batches) {
      for (const Chunk& chunk : micro_batch.chunks) {
        EXPECT_LE(TokenCount(chunk), limit * static_cast<double>(input.shape.chunk_tokens));
      }
    }
    EXPECT_EQ(planned->plan.ranks(), input.topology.ranks());
    EXPECT_EQ(planned->plan.next_position, made.batch.next_position);
    const auto again = MakePlanner(GetParam(), options)->MakePlan(input);
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(planned->plan, again->plan);
  }
}

INSTANTIATE_TEST_SUITE_P(Kinds, BaselinePlannerTest,
                         testing::Values(PlannerKind::kGreedy, PlannerKind::kContextParallel,
                                         PlannerKind::kRing, PlannerKind::kVariableLength,
                                         PlannerKind::kHybrid),
                         [](const testing::TestParamInfo<PlannerKind>& info) {
                           return std::string(PlannerName(info.param));
                         });

}  // namespace
}  // namespace rally
