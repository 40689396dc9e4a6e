// SpeedCorrection: from core-attention times that were measured to the weights of the next plans.
//
// A rank's speed in a round is its predicted time over its measured one, relative to the mean of
// all ranks, so a prediction that is wrong for everybody alike does no harm (pairs will do). It is
// bounded, smoothed exponentially in the logarithm, and what lies close to the others' counts as
// equal: plans should follow a slow device, not noise.
//
// Deterministic in what it is shown. Plain data, safe to copy; one caller at a time.
#ifndef RALLY_SCHEDULER_SPEED_CORRECTION_H_
#define RALLY_SCHEDULER_SPEED_CORRECTION_H_

#include <cstdint>
#include <vector>

#include <absl/types/span.h>

namespace rally {

// Core attention of one rank in one round.
struct AttentionTime {
  double measured = 0.0;   // Seconds in the kernel.
  double predicted = 0.0;  // Seconds, or anything proportional to them.
};

struct SpeedCorrectionOptions {
  double smoothing = 0.3;  // Share of the newest round, (0, 1].
  double bound = 4.0;      // Weights lie within [1 / bound, bound], above 1.
  double noise = 0.1;      // Relative speeds within 1 +- this are 1, [0, 1).
};

class SpeedCorrection {
 public:
  SpeedCorrection() = default;
  explicit SpeedCorrection(int32_t ranks, const SpeedCorrectionOptions& options = {});

  // One round, by rank. A rank with nothing predicted or measured had no work: its speed stays.
  void Observe(absl::Span<const AttentionTime> times);

  // The ranks are others now: `previous[r]` is the rank that r was, or -1 for one of no known
  // speed.
  void Renumber(absl::Span<const int32_t> previous);

  // Topology::weights, by rank: 1 is the mean speed. Empty while all are alike.
  std::vector<double> Weights() const;

 private:
  SpeedCorrectionOptions options_;
  std::vector<double> log_speeds_;  // By rank.
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_SPEED_CORRECTION_H_
