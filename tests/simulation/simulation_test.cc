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

void ExpectHolds(uint64_t seed) {
  const SimulationResult result = SimulateCluster(seed, {}, kTraceLines);
  if (result.breach.empty()) return;
  ADD_FAILURE() << result.last_lines << "seed " << seed << ": " << result.breach
                << "\nreplay: cluster_simulation --seed=" << seed << " --trace=1000";
}

TEST(SimulationTest, FixedSeedsHold) {
  for (uint64_t seed = 1; seed <= 2000 && !HasFailure(); ++seed) ExpectHolds(seed);
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

// What a long run of seeds goes through; otherwise the tests above say little.
TEST(SimulationTest, SeedsGoThroughMuch) {
  std::map<std::string, int64_t> ends;
  std::map<std::string, int64_t> reasons;
  int64_t restarted_coordinators = 0;
  int64_t later_epochs = 0;
  for (uint64_t seed = 1; seed <= 500; ++seed) {
    const SimulationResult result = SimulateCluster(seed, {}, 0);
    for (const auto& [phase, count] : result.ends) {
      ends[phase] += count;
      later_epochs -= count;
    }
    for (const auto& [reason, count] : result.reasons) reasons[reason] += count;
    later_epochs += result.epochs;
    restarted_coordinators += result.coordinator_processes - 1;
  }
  EXPECT_GT(ends["JOB_PHASE_SUCCEEDED"], 100);
  EXPECT_GT(ends["JOB_PHASE_FAILED"], 10);
  EXPECT_GT(ends["JOB_PHASE_CANCELLED"], 10);
  EXPECT_GT(restarted_coordinators, 100);
  EXPECT_GT(later_epochs, 200);
  for (const char* reason :
       {"CoordinatorRestarted", "MemberLost", "MemberFailed", "MemberLeaving", "StartTimeout",
        "RoundTimeout", "TooManyRestarts", "PlanningFailed", "InvalidArgument"}) {
    EXPECT_GT(reasons[reason], 0) << reason;
  }
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

}  // namespace
}  // namespace rally::simulation
