// RankGroup: the ranks of one job as real processes, driven plan by plan, without a coordinator.
//
// For benches that compare plans on the same processes in one run. Each rank is a forked child with
// its own UCX transport, kernel and trainer (or attention server); the parent talks to it over a
// socket pair. Tokens are made up from a seed, so no dataset is needed.
//
// Start must be called before the process has other threads. Ranks end when the group is destroyed.
// Threads: one caller at a time.
#ifndef RALLY_TESTS_BENCH_RANK_GROUP_H_
#define RALLY_TESTS_BENCH_RANK_GROUP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "scheduler/job_spec.h"
#include "scheduler/plan.h"
#include "tests/bench/paced_compute.h"

namespace rally::bench {

struct RankGroupOptions {
  JobSpec spec;           // Topology, model (vocabulary set), optimizer.
  std::vector<int> cpus;  // Core of each rank; empty: not pinned.
  absl::Duration message_delay = absl::ZeroDuration();  // Added to every message between ranks.
  std::optional<PacedCompute> paced;  // Take the model's time instead of the core's.
};

// What one rank measured in one round.
struct RankTimes {
  absl::Duration compute;  // Outside waits, attention included.
  absl::Duration waiting;
  absl::Duration attention;  // In the attention kernel.
};

struct RoundTimes {
  double loss = 0.0;             // Mean over the round's targets.
  absl::Duration wall;           // From sending the plan to the last rank's answer.
  std::vector<RankTimes> ranks;  // [ranks]
};

class RankGroup {
 public:
  virtual ~RankGroup() = default;

  static absl::StatusOr<std::unique_ptr<RankGroup>> Start(const RankGroupOptions& options);

  // Runs and commits one round on every rank. Sets the plan's round and step to the next ones.
  virtual absl::StatusOr<RoundTimes> Run(Plan plan) = 0;
};

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_RANK_GROUP_H_
