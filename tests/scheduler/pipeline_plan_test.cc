#include "scheduler/pipeline_plan.h"

#include <algorithm>
#include <functional>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "scheduler/phase.h"
#include "scheduler/phase_routes.h"
#include "scheduler/planner.h"
#include "scheduler/tick_balance.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

using testing::HasSubstr;

// Two replicas, one dedicated server, random tasks.
Plan PackedPlan(int64_t micro_batches) {
  std::mt19937_64 random(5);
  const std::vector<int64_t> lengths = test::HeavyTailedLengths(60, 20, 128, &random);
  Plan plan = test::PackLengths(lengths, {64, 2 * micro_batches, 128}, 2);
  test::AssignRandomly({}, 1, &random, &plan);
  return plan;
}

Plan Laid(int32_t stages, int32_t micro_batches, PlanKind kind = PlanKind::kTrain) {
  Plan plan = PackedPlan(micro_batches);
  plan.kind = kind;
  auto laid = LayOverTicks(plan, *MakeSchedule(ScheduleKind::kPhaseAligned, stages, micro_batches));
  EXPECT_TRUE(laid.ok()) << laid.status();
  return *std::move(laid);
}

TEST(LayOverTicksTest, KeepsExactPlansExact) {
  for (int32_t stages = 1; stages <= 4; ++stages) {
    for (int32_t micro_batches = 1; micro_batches <= 5; ++micro_batches) {
      for (const PlanKind kind : {PlanKind::kTrain, PlanKind::kValidate}) {
        const Plan plan = Laid(stages, micro_batches, kind);
        EXPECT_EQ(plan.workers, 2 * stages);
        EXPECT_TRUE(CheckPlan(plan, {}).ok()) << CheckPlan(plan, {});
      }
    }
  }
}

TEST(LayOverTicksTest, BalancesEachTickOverAllStages) {
  Plan plan = Laid(4, 6);
  const Topology topology{8, 0, /*in_place=*/true};
  ASSERT_TRUE(AssignBalanced(topology, ModelShape(), {0.1, 1}, &plan).ok());
  ASSERT_TRUE(CheckPlan(plan, {}).ok()) << CheckPlan(plan, {});
  for (size_t tick = 0; tick < plan.micro_batches.size(); ++tick) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      const std::vector<int64_t> pairs =
          PairsByRank(plan, static_cast<int>(tick), nano_batch, AttentionMask());
      double total = 0.0;
      for (const int64_t of_rank : pairs) total += static_cast<double>(of_rank);
      // A pair cannot be cut: the bound goes to the next whole one.
      for (const int64_t of_rank : pairs) {
        EXPECT_LE(static_cast<double>(of_rank), 1.1 * total / 8 + 1) << "tick " << tick;
      }
    }
  }
}

// Largest work of a tick's phase over the mean, worst phase of those with work.
double LargestOverMean(const Plan& plan) {
  double worst = 0.0;
  for (size_t tick = 0; tick < plan.micro_batches.size(); ++tick) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      const std::vector<int64_t> pairs =
          PairsByRank(plan, static_cast<int>(tick), nano_batch, AttentionMask());
      double total = 0.0;
      for (const int64_t of_rank : pairs) total += static_cast<double>(of_rank);
      if (total == 0.0) continue;
      const auto largest = static_cast<double>(*std::max_element(pairs.begin(), pairs.end()));
      worst = std::max(worst, largest / (total / static_cast<double>(pairs.size())));
    }
  }
  return worst;
}

TEST(BalanceTicksTest, StartsFromTheTasksThatAreThere) {
  Plan plan = Laid(4, 6);
  const Topology topology{8, 1, /*in_place=*/true};
  const double before = LargestOverMean(plan);
  ASSERT_TRUE(BalanceTicks(topology, ModelShape(), {0.1, 1}, nullptr, &plan).ok());
  ASSERT_TRUE(CheckPlan(plan, {}).ok()) << CheckPlan(plan, {});
  EXPECT_LT(LargestOverMean(plan), before / 2);
  // Within the tolerance nothing moves.
  const Plan balanced = plan;
  ASSERT_TRUE(BalanceTicks(topology, ModelShape(), {1.0, 1}, nullptr, &plan).ok());
  EXPECT_EQ(plan, balanced);
  EXPECT_FALSE(BalanceTicks({4, 1, true}, ModelShape(), {0.1, 1}, nullptr, &plan).ok());
  EXPECT_FALSE(BalanceTicks({8, 0, false}, ModelShape(), {0.1, 1}, nullptr, &plan).ok());
}

TEST(BalanceTicksTest, IdleStagesTakeMoreThanBusyOnes) {
  // A layer's linear part of 64 tokens takes as long as 2,000 pairs, a stage's attention less.
  const auto costs = CostModel::Parse(
      "rally-profile 1\nname test\nsource arithmetic\nelement-bytes 4\n"
      "attention-shape 4 2 64\nattention forward 1 1 1e6\nattention backward 1 1 1e6\n"
      "layer-parameters 737792\nlinear forward 64 2e-3\nlinear backward 64 2e-3\n"
      "transfer same-process 1 1e-6\ntransfer same-process 2 2e-6\n"
      "transfer same-node 1 1e-6\ntransfer same-node 2 2e-6\n"
      "transfer across-nodes 1 1e-6\ntransfer across-nodes 2 2e-6\n");
  ASSERT_TRUE(costs.ok()) << costs.status();
  Plan plan = Laid(2, 1);  // One stage of each tick is idle.
  const Topology topology{4, 1, /*in_place=*/true};
  ASSERT_TRUE(BalanceTicks(topology, ModelShape(), {0.1, 1}, &*costs, &plan).ok());
  ASSERT_TRUE(CheckPlan(plan, {}).ok()) << CheckPlan(plan, {});
  const std::vector<int64_t> pairs = PairsByRank(plan, 0, 0, AttentionMask());
  EXPECT_LT(pairs[0] + pairs[1], (pairs[2] + pairs[3]) / 2);
}

TEST(LayOverTicksTest, PhasesRunAStagesLayersInOneDirection) {
  const Plan plan = Laid(2, 1);  // Ticks: forward on stage 0, on 1, backward on 1, on 0.
  constexpr Direction kForward = Direction::kForward;
  constexpr Direction kBackward = Direction::kBackward;
  const std::vector<Phase> expected = {
      {0, 0, 0, kForward},  {0, 0, 1, kForward},  {0, 1, 0, kForward},  {0, 1, 1, kForward},
      {1, 0, 0, kForward},  {1, 0, 1, kForward},  {1, 1, 0, kForward},  {1, 1, 1, kForward},
      {2, 1, 1, kBackward}, {2, 1, 0, kBackward}, {2, 0, 1, kBackward}, {2, 0, 0, kBackward},
      {3, 1, 1, kBackward}, {3, 1, 0, kBackward}, {3, 0, 1, kBackward}, {3, 0, 0, kBackward}};
  EXPECT_EQ(PhaseOrder(plan, 4), expected);
}

TEST(LayOverTicksTest, RowsTravelFromTheStageThatHoldsThem) {
  const Plan plan = Laid(2, 1);
  for (int tick = 0; tick < 4; ++tick) {
    const int32_t stage = tick == 1 || tick == 2 ? 1 : 0;
    for (const Route& route : RoutePhase(plan, tick, 0).routes) {
      EXPECT_EQ(route.home / plan.replicas(), stage);
    }
  }
}

TEST(LayOverTicksTest, RefusesWhatDoesNotFit) {
  const auto refusal = [](const Plan& plan, ScheduleKind kind, int32_t micro_batches) {
    return std::string(
        LayOverTicks(plan, *MakeSchedule(kind, 2, micro_batches)).status().message());
  };
  EXPECT_THAT(refusal(PackedPlan(3), ScheduleKind::kPhaseAligned, 2), HasSubstr("3 micro-batches"));
  EXPECT_THAT(refusal(PackedPlan(3), ScheduleKind::kOneForwardOneBackward, 3),
              HasSubstr("phase-aligned"));
  EXPECT_THAT(refusal(Laid(2, 3), ScheduleKind::kPhaseAligned, 3), HasSubstr("already"));
}

TEST(CheckPipelinedPlanTest, FindsWhatIsOutOfOrder) {
  const struct {
    std::string message;
    std::function<void(Plan*)> spoil;
  } cases[] = {
      {"passes stage 1 forward after 0 stages",
       [](Plan* plan) { std::swap(plan->micro_batches[0], plan->micro_batches[1]); }},
      {"passes stage 0 backward after 2 stages forward and 0",
       [](Plan* plan) { std::swap(plan->micro_batches[2], plan->micro_batches[3]); }},
      {"of 2", [](Plan* plan) { plan->micro_batches.pop_back(); }},
      {"passes stage 0 forward after 1 stages",
       [](Plan* plan) {
         plan->micro_batches.insert(plan->micro_batches.begin(), plan->micro_batches[0]);
       }},
      {"single direction", [](Plan* plan) { plan->micro_batches[0].passes = Passes::kBoth; }},
      {"a validation goes backward", [](Plan* plan) { plan->kind = PlanKind::kValidate; }},
      {"4 workers in 3 stages", [](Plan* plan) { plan->stages = 3; }},
      {"other places",
       [](Plan* plan) {
         std::vector<Chunk>& chunks = plan->micro_batches[1].chunks;
         std::swap(chunks[2], chunks[3]);
       }},
      {"at once",
       [](Plan* plan) {
         std::vector<Chunk>& chunks = plan->micro_batches[1].chunks;
         std::swap(chunks[1], chunks[3]);
       }},
  };
  for (const auto& test : cases) {
    Plan plan = Laid(2, 1);
    // One document over both replicas, so that swaps do not lose their order.
    plan.documents = {{0, 0, 128, 127}};
    for (int tick = 0; tick < 4; ++tick) {
      const int32_t first = tick == 1 || tick == 2 ? 2 : 0;
      MicroBatch& micro_batch = plan.micro_batches[tick];
      micro_batch.chunks.assign(4, {});
      micro_batch.chunks[first].nano_batches[0] = {{0, 0, 64}};
      micro_batch.chunks[first + 1].nano_batches[0] = {{0, 64, 128}};
      micro_batch.tasks = {};
      micro_batch.tasks[0] = {{0, 0, 64, 0, 64, 0}, {0, 64, 128, 0, 128, 3}};
    }
    ASSERT_TRUE(CheckPlan(plan, {}).ok()) << CheckPlan(plan, {});
    test.spoil(&plan);
    EXPECT_THAT(std::string(CheckPlan(plan, {}).message()), HasSubstr(test.message));
  }
}

}  // namespace
}  // namespace rally
