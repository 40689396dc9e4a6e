// The ping-pong bench: what hiding traffic behind the other nano-batch is worth on a slow network.
//
// Two workers serve in place; every message between them arrives late by half the compute time of
// a phase, measured first in the same run. Rounds with ping-pong on and off alternate.
//   ratio  round time with ping-pong off over round time with it on
#ifndef RALLY_TESTS_BENCH_PINGPONG_BENCH_H_
#define RALLY_TESTS_BENCH_PINGPONG_BENCH_H_

#include <ostream>

#include <absl/status/status.h>

namespace rally::bench {

struct PingpongBenchOptions {
  bool json = false;
  int pairs = 7;  // Alternating measurements; the median of the pairs' ratios is reported.
};

// Writes a report, or with `json` one JSON object, to `out`. Forks: call before making threads.
absl::Status RunPingpongBench(const PingpongBenchOptions& options, std::ostream& out);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_PINGPONG_BENCH_H_
