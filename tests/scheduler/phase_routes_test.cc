#include "scheduler/phase_routes.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

// A token, or where it lies: home, nano-batch, row.
using Token = std::tuple<int32_t, int64_t>;
using Place = std::tuple<int32_t, int32_t, int64_t>;

std::map<Token, Place> FindTokens(const MicroBatch& micro_batch) {
  std::map<Token, Place> places;
  for (size_t home = 0; home < micro_batch.chunks.size(); ++home) {
    for (int32_t n = 0; n < kNanoBatches; ++n) {
      int64_t row = 0;
      for (const DocumentShard& shard : micro_batch.chunks[home].nano_batches[n]) {
        for (int64_t t = shard.begin; t < shard.end; ++t) {
          places[{shard.document, t}] = {static_cast<int32_t>(home), n, row++};
        }
      }
    }
  }
  return places;
}

// Every row of `rows` is the token it says, at `home`. Returns the rows.
std::vector<Token> ExpectInPlace(const HomeRows& rows, int32_t home,
                                 const std::map<Token, Place>& places) {
  std::vector<Token> tokens;
  for (int64_t i = 0; i < rows.rows(); ++i) {
    tokens.emplace_back(rows.document, rows.begin + i);
    EXPECT_EQ(places.at(tokens.back()), (Place{home, rows.nano_batch, rows.row + i}));
  }
  return tokens;
}

void ExpectExactRoutes(const Plan& plan, int m, int n) {
  const MicroBatch& micro_batch = plan.micro_batches[m];
  const std::vector<CaTask>& tasks = micro_batch.tasks[n];
  const auto places = FindTokens(micro_batch);
  std::map<int32_t, std::set<Token>> needed;  // Keys, by server.
  for (const CaTask& task : tasks) {
    for (int64_t k = task.kv_begin; k < task.kv_end; ++k) {
      needed[task.server].emplace(task.document, k);
    }
  }
  std::map<int32_t, std::set<Token>> sent;
  std::vector<int> routed(tasks.size());
  std::tuple<int32_t, int32_t> previous = {-1, -1};
  for (const Route& route : RoutePhase(plan, m, n).routes) {
    EXPECT_LT(previous, std::tie(route.home, route.server));
    previous = {route.home, route.server};
    ASSERT_EQ(route.queries.size(), route.tasks.size());
    EXPECT_TRUE(std::is_sorted(route.tasks.begin(), route.tasks.end()));
    int64_t query_rows = 0;
    for (size_t i = 0; i < route.queries.size(); ++i) {
      const CaTask& task = tasks[route.tasks[i]];
      ++routed[route.tasks[i]];
      EXPECT_EQ(task.server, route.server);
      const auto rows = ExpectInPlace(route.queries[i], route.home, places);
      EXPECT_EQ(rows.front(), (Token{task.document, task.q_begin}));
      EXPECT_EQ(rows.back(), (Token{task.document, task.q_end - 1}));
      query_rows += route.queries[i].rows();
    }
    EXPECT_EQ(query_rows, route.query_rows);
    std::vector<Token> keys;
    for (const HomeRows& rows : route.keys) {
      const auto more = ExpectInPlace(rows, route.home, places);
      keys.insert(keys.end(), more.begin(), more.end());
    }
    EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
    EXPECT_EQ(static_cast<int64_t>(keys.size()), route.kv_rows);
    for (const Token& key : keys) EXPECT_TRUE(sent[route.server].insert(key).second);
    EXPECT_GT(route.query_rows + route.kv_rows, 0);
  }
  EXPECT_EQ(sent, needed);
  EXPECT_EQ(std::count(routed.begin(), routed.end(), 1), static_cast<int64_t>(tasks.size()));
}

TEST(RoutePhaseTest, SendsEveryRowThatIsNeededOnce) {
  std::mt19937_64 random(4);
  for (const int64_t window : {0, 4}) {
    for (int round = 0; round < 50; ++round) {
      Plan plan = test::PackLengths(test::HeavyTailedLengths(60, 6, 60, &random), {20, 8, 60 - 20},
                                    /*workers=*/4);
      test::AssignRandomly({window}, /*dedicated_servers=*/2, &random, &plan);
      ASSERT_TRUE(CheckPlan(plan, {window}).ok());
      for (size_t m = 0; m < plan.micro_batches.size(); ++m) {
        for (int n = 0; n < kNanoBatches; ++n) ExpectExactRoutes(plan, static_cast<int>(m), n);
      }
    }
  }
}

TEST(RoutePhaseTest, FindsRoutesByEnd) {
  PhaseRoutes routes;
  routes.routes.resize(3);
  routes.routes[0].home = 0, routes.routes[0].server = 2;
  routes.routes[1].home = 1, routes.routes[1].server = 1;
  routes.routes[2].home = 1, routes.routes[2].server = 2;
  EXPECT_EQ(routes.FromHome(1), (std::vector<const Route*>{&routes.routes[1], &routes.routes[2]}));
  EXPECT_EQ(routes.ToServer(2), (std::vector<const Route*>{&routes.routes[0], &routes.routes[2]}));
  EXPECT_TRUE(routes.FromHome(2).empty());
}

}  // namespace
}  // namespace rally
