#include "scheduler/speed_correction.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "common/check.h"

namespace rally {
namespace {

// Shorter times are of clocks more than of devices.
constexpr double kLeastSeconds = 1e-4;

bool Tells(const AttentionTime& time) {
  return time.predicted > 0.0 && time.measured >= kLeastSeconds && std::isfinite(time.measured) &&
         std::isfinite(time.predicted);
}

}  // namespace

SpeedCorrection::SpeedCorrection(int32_t ranks, const SpeedCorrectionOptions& options)
    : options_(options), log_speeds_(static_cast<size_t>(ranks), 0.0) {}

void SpeedCorrection::Observe(absl::Span<const AttentionTime> times) {
  RALLY_CHECK(times.size() == log_speeds_.size(), "one time per rank");
  double speeds = 0.0;
  int64_t ranks = 0;
  for (const AttentionTime& time : times) {
    if (!Tells(time)) continue;
    speeds += time.predicted / time.measured;
    ++ranks;
  }
  if (ranks == 0) return;
  const double mean = speeds / static_cast<double>(ranks);
  const double bound = std::log(options_.bound);
  for (size_t rank = 0; rank < times.size(); ++rank) {
    if (!Tells(times[rank])) continue;
    const double relative = std::log(times[rank].predicted / times[rank].measured / mean);
    const double newest = std::clamp(relative, -bound, bound);
    log_speeds_[rank] += options_.smoothing * (newest - log_speeds_[rank]);
  }
}

void SpeedCorrection::Renumber(absl::Span<const int32_t> previous) {
  std::vector<double> log_speeds;
  for (const int32_t rank : previous) {
    log_speeds.push_back(rank < 0 ? 0.0 : log_speeds_[static_cast<size_t>(rank)]);
  }
  log_speeds_ = std::move(log_speeds);
}

std::vector<double> SpeedCorrection::Weights() const {
  std::vector<double> weights;
  bool alike = true;
  for (const double log_speed : log_speeds_) {
    const double speed = std::exp(log_speed);
    const bool close = std::abs(speed - 1.0) <= options_.noise;
    weights.push_back(close ? 1.0 : speed);
    alike = alike && close;
  }
  if (alike) weights.clear();
  return weights;
}

}  // namespace rally
