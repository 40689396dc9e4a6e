// The cluster holds in thousands of simulations, and the simulation finds bugs that are put in.
#include <cstdint>
#include <iostream>
#include <map>
#include <random>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/simulation/cluster_simulation.h"
#include "tests/simulation/planted_bugs.h"

namespace rally::simulation {
namespace {

constexpr size_t kTraceLines = 80;

SimulationResult ExpectHolds(uint64_t seed) {
  SimulationResult result = SimulateCluster(seed, {}, kTraceLines);
  if (!result.breach.empty()) {
    ADD_FAILURE() << result.last_lines << "seed " << seed << ": " << result.breach
                  << "\nreplay: cluster_simulation --seed=" << seed << " --trace=1000";
  }
  return result;
}

// And go through much; otherwise that they hold says little.
TEST(SimulationTest, FixedSeedsHold) {
  std::map<std::string, int64_t> ends;
  std::map<std::string, int64_t> reasons;
  int64_t pool_changes = 0;
  int64_t weaker_runs = 0;
  int64_t deleted = 0;
  for (uint64_t seed = 1; seed <= 2000 && !HasFailure(); ++seed) {
    const SimulationResult result = ExpectHolds(seed);
    pool_changes += result.pool_changes;
    weaker_runs += result.weaker_runs;
    deleted += result.deleted;
    for (const auto& [phase, count] : result.ends) ends[phase] += count;
    for (const auto& [reason, count] : result.reasons) reasons[reason] += count;
  }
  EXPECT_GT(pool_changes, 500);
  EXPECT_GT(weaker_runs, 50);
  EXPECT_GT(deleted, 300);
  EXPECT_GT(ends["JOB_PHASE_SUCCEEDED"], 1000);
  EXPECT_GT(ends["JOB_PHASE_FAILED"], 50);
  EXPECT_GT(ends["JOB_PHASE_CANCELLED"], 300);
  for (const char* reason :
       {"CoordinatorRestarted", "MemberLost", "MemberFailed", "MemberLeaving", "TooManyRestarts"}) {
    EXPECT_GT(reasons[reason], 50) << reason;
  }
  for (const char* reason :
       {"StartTimeout", "RoundTimeout", "PlanningFailed", "InvalidArgument", "LossNotFinite"}) {
    EXPECT_GT(reasons[reason], 0) << reason;
  }
}

TEST(SimulationTest, AFreshSeedHolds) {
  std::random_device device;
  const uint64_t seed = uint64_t{device()} << 32 | device();
  std::cout << "seed " << seed << "\n";
  ExpectHolds(seed);
}

TEST(SimulationTest, ASeedReplaysExactly) {
  std::set<uint64_t> hashes;
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const SimulationResult first = SimulateCluster(seed, {}, kTraceLines);
    const SimulationResult again = SimulateCluster(seed, {}, kTraceLines);
    EXPECT_EQ(first.trace_hash, again.trace_hash) << "seed " << seed;
    EXPECT_EQ(first.last_lines, again.last_lines) << "seed " << seed;
    EXPECT_EQ(first.events, again.events) << "seed " << seed;
    hashes.insert(first.trace_hash);
  }
  EXPECT_EQ(hashes.size(), 50u);
}

// Breaks a rule within so many seeds; says in which.
void ExpectFound(const std::string& bug, const Parts& parts) {
  for (uint64_t seed = 1; seed <= 10000; ++seed) {
    const SimulationResult result = SimulateCluster(seed, parts, 0);
    if (result.breach.empty()) continue;
    std::cout << bug << ": seed " << seed << ": " << result.breach << "\n";
    return;
  }
  ADD_FAILURE() << bug << ": not found";
}

TEST(PlantedBugTest, ActionsThatOthersSeeBeforePersistentOnes) {
  ExpectFound("visible before persistent", VisibleBeforePersistent());
}

TEST(PlantedBugTest, EpochsThatAreNotChecked) {
  ExpectFound("core blind to epochs", CoreBlindToEpochs());
  ExpectFound("members blind to epochs", MembersBlindToEpochs());
}

TEST(PlantedBugTest, MessagesTakenTwice) {
  ExpectFound("plans taken twice", PlansTakenTwice());
  ExpectFound("commits taken twice", CommitsTakenTwice());
}

TEST(PlantedBugTest, CheckpointsOfAnotherJob) {
  ExpectFound("later epochs restore", LaterEpochsRestore());
}

}  // namespace
}  // namespace rally::simulation
