#include "scheduler/traffic_floor.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/plan_traffic.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

const ModelShape kLlama3 = {.hidden_size = 4096, .heads = 32, .kv_heads = 8, .head_dim = 128};
constexpr int64_t kBytes = 2;
constexpr double kQuery = 16512.0;
constexpr double kKey = 4096.0;

std::vector<Document> OneDocument(int64_t tokens) { return {{0, 0, tokens, tokens}}; }

TEST(TrafficFloorTest, IsZeroWhereADocumentFitsIntoAServer) {
  EXPECT_EQ(ForwardTrafficFloor(OneDocument(1000), 999.0 * 500, kLlama3, kBytes), 0.0);
  EXPECT_GT(ForwardTrafficFloor(OneDocument(1000), 999.0 * 499, kLlama3, kBytes), 0.0);
}

// 1,000 rows, 499,500 pairs, two servers of half each: 500 home rows see 124,750 pairs of their
// own, and each remote key row gives 500 more: (249,750 - 124,750) / 500 = 250.
TEST(TrafficFloorTest, CountsTheKeysOfTwoServers) {
  EXPECT_NEAR(ForwardTrafficFloor(OneDocument(1000), 249750.0, kLlama3, kBytes), 2 * 250 * kKey,
              1e-6 * kKey);
}

// Many servers with few rows each: query rows move as well. Against a search over all x and y.
TEST(TrafficFloorTest, MovesTheCheapestRectangle) {
  for (const int64_t servers : {2, 3, 5, 10, 25, 50, 100}) {
    const double pairs = 999.0 * 500 / static_cast<double>(servers);
    const double home = 1000.0 / static_cast<double>(servers);
    const double product = pairs + home * (home + 1) / 2;
    double best = std::numeric_limits<double>::infinity();
    for (double x = 0; x <= 1000; x += 0.25) {
      best = std::min(best, kQuery * x + kKey * std::max(0.0, product / (home + x) - home));
    }
    const double floor = ForwardTrafficFloor(OneDocument(1000), pairs, kLlama3, kBytes) /
                         static_cast<double>(servers);
    EXPECT_LE(floor, best * (1 + 1e-12));
    // The cost is flat at its least: a step of 0.25 rows costs a few rows' bytes at most.
    EXPECT_GE(floor, best - kQuery);
  }
}

// A fifth more than one server may do: against a search over both homes and both servers' pairs,
// where a third server would not help. Two whole servers cost more than 1.2 equal ones.
TEST(TrafficFloorTest, ServersAreWhole) {
  constexpr double kRows = 1000;
  constexpr double kPairs = 999.0 * 500;
  const double most = kPairs / 1.2;
  const auto cost = [](double home, double pairs) {
    double best = std::numeric_limits<double>::infinity();
    for (double x = 0; x <= 200; ++x) {
      const double product = pairs + home * (home + 1) / 2;
      best = std::min(best, kQuery * x + kKey * std::max(0.0, product / (home + x) - home));
    }
    return best;
  };
  double best = std::numeric_limits<double>::infinity();
  for (double home = 0; home <= kRows; home += 4) {
    for (int i = 0; i <= 50; ++i) {
      const double pairs = kPairs - most + (2 * most - kPairs) * i / 50;
      best = std::min(best, cost(home, pairs) + cost(kRows - home, kPairs - pairs));
    }
  }
  const double floor = ForwardTrafficFloor(OneDocument(1000), most, kLlama3, kBytes);
  EXPECT_LE(floor, best);
  EXPECT_GE(floor, 0.8 * best);
  EXPECT_GE(floor, 3 * 1.2 * cost(kRows / 1.2, most));
}

// No plan beats the floor that its own largest server sets, however it was made.
TEST(TrafficFloorTest, HoldsForRandomPlans) {
  std::mt19937_64 random(11);
  int above_zero = 0;
  for (int round = 0; round < 200; ++round) {
    const int64_t longest = round % 4 == 0 ? 512 : 128;
    Plan plan = test::PackLengths(
        test::HeavyTailedLengths(60, 40, longest, &random),
        {.chunk_tokens = 128, .chunks = 4, .max_document_tokens = longest}, 4, false);
    test::AssignRandomly({}, round % 3, &random, &plan);
    const Topology topology = {.workers = 4, .dedicated_servers = round % 3, .in_place = true};
    const std::vector<int64_t> pairs = PairsByRank(plan, {});
    const auto largest = static_cast<double>(*std::max_element(pairs.begin(), pairs.end()));
    double bytes = 0.0;
    for (const RemoteRows& rows : CountTraffic(plan, topology).total()) {
      bytes += LayerBytes(rows, Direction::kForward, kLlama3, kBytes);
    }
    const double floor = ForwardTrafficFloor(plan.documents, largest, kLlama3, kBytes);
    EXPECT_LE(floor, bytes);
    above_zero += floor > 0.0;
  }
  EXPECT_GT(above_zero, 20);
}

// The cut from the end, in slices of equal work, pays the keys before each slice: near the floor.
TEST(TrafficFloorTest, ContiguousSlicesComeNear) {
  constexpr int64_t kRows = 2048;
  constexpr int kServers = 4;
  double bytes = 0.0;
  double largest = 0.0;
  int64_t begin = 0;
  for (int i = 1; i <= kServers; ++i) {
    const auto end = static_cast<int64_t>(kRows * std::sqrt(static_cast<double>(i) / kServers));
    bytes += kKey * static_cast<double>(begin);
    largest = std::max(largest, static_cast<double>(AllowedPairs(begin, end, 0, end, {})));
    begin = end;
  }
  const double floor = ForwardTrafficFloor(OneDocument(kRows), largest, kLlama3, kBytes);
  EXPECT_LE(floor, bytes);
  EXPECT_GE(floor, 0.6 * bytes);
}

}  // namespace
}  // namespace rally
