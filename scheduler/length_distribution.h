// LengthDistribution: document lengths to simulate with, from the quantiles of a real collection.
//
// Plain data and pure functions; any thread.
#ifndef RALLY_SCHEDULER_LENGTH_DISTRIBUTION_H_
#define RALLY_SCHEDULER_LENGTH_DISTRIBUTION_H_

#include <cstdint>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace rally {

struct LengthDistribution {
  // (quantile in [0, 1], tokens), both ascending, straight lines between.
  std::vector<std::pair<double, double>> quantiles;
  // Instead of quantiles: these lengths, over and over.
  std::vector<int64_t> lengths;

  // What long-context collections do to be long, in this order.
  // Documents of at least `long_tokens` are drawn `long_weight` times as often as others.
  int64_t long_tokens = 0;
  double long_weight = 1.0;
  // This share of them becomes as long as the context.
  double whole_context = 0.0;
  // All lengths are multiplied by context / stretch_from; 0: they stay.
  int64_t stretch_from = 0;
};

// The quantiles of a file of lines "quantile,tokens" after a heading of these words; lines that
// begin with # are skipped.
// InvalidArgument names the line.
absl::StatusOr<std::vector<std::pair<double, double>>> ParseQuantiles(absl::string_view text);

// Lengths in [1, context] that sum to at least `tokens`. Longer ones are cut at the context.
// Deterministic: equal arguments, equal lengths.
std::vector<int64_t> SampleLengths(const LengthDistribution& distribution, int64_t context,
                                   int64_t tokens, uint64_t seed);

}  // namespace rally

#endif  // RALLY_SCHEDULER_LENGTH_DISTRIBUTION_H_
