#include "scheduler/plan_traffic.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "scheduler/phase_routes.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

const ModelShape kLlama3 = {.hidden_size = 4096, .heads = 32, .kv_heads = 8, .head_dim = 128};
constexpr int64_t kBfloat16Bytes = 2;

// One document of 16 rows: worker 0 holds [0, 8), worker 1 the rest.
Plan TwoHalves(std::vector<CaTask> tasks) {
  Plan plan = test::PackLengths({16}, {.chunk_tokens = 8, .chunks = 2, .max_document_tokens = 16},
                                2, /*ping_pong=*/false);
  plan.dedicated_servers = 1;
  plan.micro_batches[0].tasks[0] = std::move(tasks);
  return plan;
}

TEST(PlanTrafficTest, RowsComputedWhereTheirKeysLieDoNotTravel) {
  const Plan plan = test::PackLengths(
      {8, 8}, {.chunk_tokens = 8, .chunks = 2, .max_document_tokens = 8}, 2, false);
  Plan assigned = plan;
  assigned.micro_batches[0].tasks[0] = {{0, 0, 8, 0, 8, 0}, {1, 0, 8, 0, 8, 1}};
  const PlanTraffic traffic = CountTraffic(assigned, {.workers = 2});
  for (const RemoteRows& rows : traffic.total()) EXPECT_EQ(rows, RemoteRows{});
}

TEST(PlanTrafficTest, CountsQueriesPerTaskAndKeysOncePerServer) {
  const Plan plan = TwoHalves({{0, 0, 8, 0, 8, 0},       // At home.
                               {0, 8, 10, 0, 10, 1},     // Pulls [0, 8).
                               {0, 10, 12, 0, 12, 1},    // Pulls nothing that 1 has not.
                               {0, 12, 16, 0, 4, 0},     // Four query rows to 0.
                               {0, 12, 16, 4, 8, 0},     // The same four again.
                               {0, 12, 16, 8, 16, 2}});  // Four query and eight key rows to 2.
  ASSERT_TRUE(CheckPlan(plan, {}).ok()) << CheckPlan(plan, {});
  const Topology topology = {
      .workers = 2, .dedicated_servers = 1, .in_place = true, .ranks_per_node = 2};
  const PlanTraffic traffic = CountTraffic(plan, topology);
  const auto node = static_cast<size_t>(LinkClass::kSameNode);
  const auto across = static_cast<size_t>(LinkClass::kAcrossNodes);
  ASSERT_EQ(traffic.to_servers.size(), 3u);
  EXPECT_EQ(traffic.to_servers[0][node], (RemoteRows{8, 0}));
  EXPECT_EQ(traffic.to_servers[1][node], (RemoteRows{0, 8}));
  EXPECT_EQ(traffic.to_servers[2][node], (RemoteRows{0, 0}));
  EXPECT_EQ(traffic.to_servers[2][across], (RemoteRows{4, 8}));
  EXPECT_EQ(traffic.total()[node], (RemoteRows{8, 8}));
  EXPECT_EQ(traffic.total()[across], (RemoteRows{4, 8}));
}

// Rows that the routes carry between two ranks, over the whole plan.
RowsByLink RowsOfRoutes(const Plan& plan, const Topology& topology) {
  RowsByLink rows;
  for (int m = 0; m < static_cast<int>(plan.micro_batches.size()); ++m) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      for (const Route& route : RoutePhase(plan, m, nano_batch).routes) {
        if (route.home == route.server) continue;
        const auto link = static_cast<size_t>(topology.link(route.home, route.server));
        rows[link] += {route.query_rows, route.kv_rows};
      }
    }
  }
  return rows;
}

// bf16: q and output 8,192 B each, key and value row 4,096 B, LSE 128 B.
TEST(PlanTrafficTest, ARowsBytesAreThoseOfTheMessages) {
  const auto forward = [](const RemoteRows& rows) {
    return LayerBytes(rows, Direction::kForward, kLlama3, kBfloat16Bytes);
  };
  const auto backward = [](const RemoteRows& rows) {
    return LayerBytes(rows, Direction::kBackward, kLlama3, kBfloat16Bytes);
  };
  EXPECT_EQ(forward({1, 0}), 8192 + 8192 + 128);
  EXPECT_EQ(forward({0, 1}), 4096);
  EXPECT_EQ(forward({3, 5}), 3 * 16512 + 5 * 4096);
  EXPECT_EQ(backward({1, 0}), 3 * 8192 + 2 * 128);
  EXPECT_EQ(backward({0, 1}), 2 * 4096);
}

TEST(PlanTrafficTest, AgreesWithTheRoutesAndARecountRowByRow) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 20; ++round) {
    Plan plan = test::PackLengths(test::HeavyTailedLengths(40, 20, 128, &random),
                                  {.chunk_tokens = 64, .chunks = 8, .max_document_tokens = 128}, 4,
                                  round % 2 == 0);
    test::AssignRandomly({}, 2, &random, &plan);
    const Topology topology = {
        .workers = 4, .dedicated_servers = 2, .in_place = true, .ranks_per_node = 3};
    RowsByLink expected;
    for (const MicroBatch& micro_batch : plan.micro_batches) {
      std::map<std::tuple<int32_t, int64_t>, int32_t> home;
      for (int32_t worker = 0; worker < 4; ++worker) {
        for (const NanoBatch& half : micro_batch.chunks[worker].nano_batches) {
          for (const DocumentShard& shard : half) {
            for (int64_t t = shard.begin; t < shard.end; ++t) home[{shard.document, t}] = worker;
          }
        }
      }
      for (const std::vector<CaTask>& tasks : micro_batch.tasks) {
        std::set<std::tuple<int32_t, int32_t, int64_t>> keys;
        for (const CaTask& task : tasks) {
          const int32_t from = home.at({task.document, task.q_begin});
          if (from != task.server) {
            expected[static_cast<size_t>(topology.link(from, task.server))].queries +=
                task.q_rows();
          }
          for (int64_t k = task.kv_begin; k < task.kv_end; ++k) {
            keys.emplace(task.server, task.document, k);
          }
        }
        for (const auto& [server, document, row] : keys) {
          const int32_t from = home.at({document, row});
          if (from != server) ++expected[static_cast<size_t>(topology.link(from, server))].keys;
        }
      }
    }
    EXPECT_EQ(CountTraffic(plan, topology).total(), expected);
    EXPECT_EQ(RowsOfRoutes(plan, topology), expected);
  }
}

}  // namespace
}  // namespace rally
