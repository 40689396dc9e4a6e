// The planner bench: what a plan takes on one core, placement and repair included.
//
// Heavy-tailed documents of up to a chunk fill the servers, about 39 a server, or one document
// does, which is the hardest; every server is a worker that serves in place. Each batch is planned
// several times in turn with the others, and its median is reported: of the thread's processor
// time, since the machine may be shared, and of the clock beside it.
#ifndef RALLY_TESTS_BENCH_PLANNER_BENCH_H_
#define RALLY_TESTS_BENCH_PLANNER_BENCH_H_

#include <cstdint>
#include <ostream>
#include <vector>

#include <absl/status/status.h>

namespace rally::bench {

struct PlannerBenchOptions {
  bool json = false;
  std::vector<int32_t> servers = {8, 16, 32, 64, 128, 256, 512};
  int repeats = 9;
};

// Writes a table, or with `json` an array of {"servers", "documents", "median_seconds",
// "median_wall_seconds", "max_over_mean", "forward_bytes_per_token"}, to `out`.
absl::Status RunPlannerBench(const PlannerBenchOptions& options, std::ostream& out);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_PLANNER_BENCH_H_
