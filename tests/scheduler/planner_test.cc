#include "scheduler/planner.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "scheduler/phase_routes.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

ModelShape LlamaLike(int64_t window = 0) {
  ModelShape shape;
  shape.heads = 32;
  shape.kv_heads = 8;
  shape.head_dim = 128;
  shape.mask.window = window;
  return shape;
}

// Rows that leave their home: queries, and keys.
struct Traffic {
  int64_t query_rows = 0;
  int64_t kv_rows = 0;
};

Traffic CountTraffic(const Plan& plan) {
  Traffic traffic;
  for (size_t m = 0; m < plan.micro_batches.size(); ++m) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      for (const Route& route : RoutePhase(plan, static_cast<int>(m), nano_batch).routes) {
        if (route.home == route.server) continue;
        traffic.query_rows += route.query_rows;
        traffic.kv_rows += route.kv_rows;
      }
    }
  }
  return traffic;
}

// Every phase lies within the tolerance, with `slack` pairs for what can not be divided.
void ExpectBalanced(const Plan& plan, const Topology& topology, AttentionMask mask,
                    double tolerance, double slack) {
  const int32_t first = topology.in_place ? 0 : topology.workers;
  for (size_t m = 0; m < plan.micro_batches.size(); ++m) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      const auto pairs = PairsByRank(plan, static_cast<int>(m), nano_batch, mask);
      double mean = 0.0;
      for (int32_t r = first; r < topology.ranks(); ++r) mean += static_cast<double>(pairs[r]);
      mean /= topology.ranks() - first;
      for (int32_t r = 0; r < topology.ranks(); ++r) {
        if (r < first) {
          EXPECT_EQ(pairs[r], 0);
          continue;
        }
        EXPECT_LE(static_cast<double>(pairs[r]), (1.0 + tolerance) * mean + slack);
      }
    }
  }
}

struct Case {
  std::string name;
  BatchShape shape;
  double median;
  Topology topology;
  int64_t window = 0;
  double tolerance = 0.05;
};

class BalancingPlannerTest : public testing::TestWithParam<Case> {};

TEST_P(BalancingPlannerTest, BalancesEveryPhaseExactly) {
  const Case& c = GetParam();
  const ModelShape shape = LlamaLike(c.window);
  std::mt19937_64 random(7);
  for (int batch = 0; batch < 3; ++batch) {
    Plan plan =
        test::PackLengths(test::HeavyTailedLengths(1000, c.median, int64_t{1} << 20, &random),
                          c.shape, c.topology.workers);
    const double before = [&] {
      Plan local = plan;
      EXPECT_TRUE(AssignLocally(c.topology, shape, &local).ok());
      EXPECT_TRUE(CheckPlan(local, shape.mask).ok());
      Topology workers = c.topology;
      workers.dedicated_servers = 0;
      return Imbalance(local, workers, shape.mask);
    }();
    PlannerOptions options;
    options.tolerance = c.tolerance;
    const absl::Status status = AssignBalanced(c.topology, shape, options, &plan);
    ASSERT_TRUE(status.ok()) << status;
    const absl::Status check = CheckPlan(plan, shape.mask);
    ASSERT_TRUE(check.ok()) << check;
    ExpectBalanced(plan, c.topology, shape.mask, c.tolerance, /*slack=*/1.0);
    const double after = Imbalance(plan, c.topology, shape.mask);
    EXPECT_LE(after, 1.0 + c.tolerance + 1e-3);
    EXPECT_LE(after, before + 1e-9);
    const Traffic traffic = CountTraffic(plan);
    size_t tasks = 0;
    for (const MicroBatch& m : plan.micro_batches) tasks += m.tasks[0].size() + m.tasks[1].size();
    RecordProperty("tasks", static_cast<int>(tasks));
    RecordProperty("query_rows", static_cast<int>(traffic.query_rows));
    RecordProperty("kv_rows", static_cast<int>(traffic.kv_rows));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, BalancingPlannerTest,
    testing::Values(Case{"CpuInPlace", {2048, 8, 2048}, 400, {2, 0, true}},
                    Case{"CpuDedicated", {2048, 8, 2048}, 400, {2, 2, false}},
                    Case{"CpuMixed", {2048, 8, 2048}, 400, {2, 1, true}},
                    Case{"CpuOneServer", {512, 4, 512}, 60, {2, 1, false}},
                    Case{"TinyDocuments", {256, 8, 256}, 6, {4, 3, true}},
                    Case{"Window", {4096, 16, 16384}, 3000, {8, 0, true}, 512},
                    Case{"LongDocuments", {8192, 16, 65536}, 9000, {8, 4, true}},
                    Case{"Long128K", {131072, 32, 131072}, 2000, {16, 0, true}},
                    Case{"Long512K", {65536, 64, 524288}, 3000, {64, 0, true}},
                    Case{"Tight", {8192, 32, 32768}, 3000, {16, 0, true}, 0, 0.01},
                    Case{"DedicatedPool", {8192, 32, 32768}, 3000, {16, 16, false}}),
    [](const testing::TestParamInfo<Case>& info) { return info.param.name; });

TEST(BalancingPlannerTest, IsDeterministic) {
  std::mt19937_64 random(3);
  Plan plan =
      test::PackLengths(test::HeavyTailedLengths(300, 500, 4096, &random), {2048, 8, 4096}, 4);
  Plan again = plan;
  ASSERT_TRUE(AssignBalanced({4, 2, true}, LlamaLike(), {}, &plan).ok());
  ASSERT_TRUE(AssignBalanced({4, 2, true}, LlamaLike(), {}, &again).ok());
  EXPECT_EQ(plan, again);
}

TEST(BalancingPlannerTest, CutsAtTheGranularityWhileThatIsEnough) {
  Plan plan = test::PackLengths({131072, 131072}, {65536, 2, 131072}, 2);
  ASSERT_TRUE(AssignBalanced({2, 0, true}, LlamaLike(), {}, &plan).ok());
  for (const MicroBatch& micro_batch : plan.micro_batches) {
    for (const auto& tasks : micro_batch.tasks) {
      for (const CaTask& task : tasks) {
        EXPECT_EQ(task.q_begin % 128, 0);
        EXPECT_EQ(task.q_end % 128, 0);
      }
    }
  }
  EXPECT_LE(Imbalance(plan, {2, 0, true}, {}), 1.05);
}

TEST(BalancingPlannerTest, CutsKeysWhereOneRowIsTooMuch) {
  // One document of 64 tokens over 40 servers: the last row alone is more than a server's share.
  Plan plan = test::PackLengths({64}, {64, 1, 64}, 1, /*ping_pong=*/false);
  const Topology topology{1, 40, false};
  PlannerOptions options;
  options.tolerance = 0.02;
  ASSERT_TRUE(AssignBalanced(topology, LlamaLike(), options, &plan).ok());
  EXPECT_TRUE(CheckPlan(plan, {}).ok());
  ExpectBalanced(plan, topology, {}, options.tolerance, /*slack=*/1.0);
}

TEST(BalancingPlannerTest, MovesNothingThatIsBalanced) {
  Plan plan = test::PackLengths({512, 512, 512, 512}, {1024, 2, 1024}, 2);
  ASSERT_TRUE(AssignBalanced({2, 0, true}, LlamaLike(), {}, &plan).ok());
  const Traffic traffic = CountTraffic(plan);
  EXPECT_EQ(traffic.query_rows, 0);
  EXPECT_EQ(traffic.kv_rows, 0);
}

TEST(PlannerTest, RefusesWhatDoesNotFit) {
  Plan plan = test::PackLengths({64, 64}, {64, 2, 64}, 2);
  EXPECT_EQ(AssignLocally({3, 0, false}, LlamaLike(), &plan).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AssignBalanced({3, 0, true}, LlamaLike(), {}, &plan).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AssignBalanced({2, 0, false}, LlamaLike(), {}, &plan).code(),
            absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(AssignBalanced({2, 0, true}, LlamaLike(), {-0.1}, &plan).code(),
            absl::StatusCode::kInvalidArgument);
}

TEST(PlannerNameTest, ParsesWhatItNames) {
  for (int kind = 0; kind <= static_cast<int>(PlannerKind::kHybrid); ++kind) {
    const auto parsed = ParsePlannerName(PlannerName(static_cast<PlannerKind>(kind)));
    ASSERT_TRUE(parsed.ok()) << parsed.status();
    EXPECT_EQ(*parsed, static_cast<PlannerKind>(kind));
  }
  const absl::Status unknown = ParsePlannerName("greed").status();
  EXPECT_EQ(unknown.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(unknown.message().find("variable_length"), std::string::npos) << unknown;
}

TEST(ImbalanceTest, WeighsPhasesByTheirWork) {
  // Worker 0 holds documents of 4 and 2 tokens in ping, worker 1 one of 3: 13 and 6 pairs.
  Plan plan;
  plan.workers = 2;
  plan.documents = {{0, 0, 4, 4}, {1, 0, 2, 2}, {2, 0, 3, 3}, {3, 0, 1, 1}};
  plan.micro_batches.resize(1);
  plan.micro_batches[0].chunks.resize(2);
  plan.micro_batches[0].chunks[0].nano_batches[0] = {{0, 0, 4}, {1, 0, 2}};
  plan.micro_batches[0].chunks[1].nano_batches[0] = {{2, 0, 3}};
  plan.micro_batches[0].chunks[1].nano_batches[1] = {{3, 0, 1}};
  ASSERT_TRUE(AssignLocally({2, 0, false}, LlamaLike(), &plan).ok());
  EXPECT_TRUE(CheckPlan(plan, {}).ok());
  // Ping: 13 of a mean of 9.5 with weight 19; pong: 1 of 0.5 with weight 1.
  EXPECT_DOUBLE_EQ(Imbalance(plan, {2, 0, false}, {}), (13 / 9.5 * 19 + 1 / 0.5 * 1) / 20);
  // A worker of weight 2 beside one of 1: 13 of two thirds of 19, then 1 of a third of 1.
  const Topology weighted{.workers = 2, .weights = {2.0, 1.0}};
  EXPECT_DOUBLE_EQ(Imbalance(plan, weighted, {}), (13 / (38 / 3.0) * 19 + 3.0 * 1) / 20);
}

}  // namespace
}  // namespace rally
