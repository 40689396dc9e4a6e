// The balance bench: what spreading core attention is worth, against the ideal of the same run.
//
// Two workers pinned to one core each serve in place; one chunk is a single long document, the
// other holds many short ones. Rounds with and without planning alternate on the same processes.
//   ideal_ratio     slowest worker's compute over the mean of both, without planning
//   measured_ratio  round time without planning over round time with it
//   cores           what two multiply-add loops reach together over one alone
// The same with paced compute for eight workers, whose ideal the cost model gives.
#ifndef RALLY_TESTS_BENCH_BALANCE_BENCH_H_
#define RALLY_TESTS_BENCH_BALANCE_BENCH_H_

#include <ostream>

#include <absl/status/status.h>

namespace rally::bench {

struct BalanceBenchOptions {
  bool json = false;
  int pairs = 7;     // Alternating measurements; the medians of pairs are reported.
  int attempts = 5;  // Runs with fewer than 1.8 cores are repeated, at most this often.
};

// Writes a report, or with `json` one JSON object, to `out`. Forks: call before making threads.
absl::Status RunBalanceBench(const BalanceBenchOptions& options, std::ostream& out);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_BALANCE_BENCH_H_
