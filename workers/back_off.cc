#include "workers/back_off.h"

#include <algorithm>

namespace rally {

absl::Duration BackOff::Next() {
  constexpr double kSteps = 1 << 20;
  const double jitter = static_cast<double>(random_() % (1 << 20)) / kSteps;
  const absl::Duration delay = current_ * (0.5 + 0.5 * jitter);
  current_ = std::min(current_ * 2, longest_);
  return delay;
}

}  // namespace rally
