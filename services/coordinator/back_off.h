// BackOffAfter: how long what has failed again and again is left alone. Pure, any thread.
#ifndef RALLY_SERVICES_COORDINATOR_BACK_OFF_H_
#define RALLY_SERVICES_COORDINATOR_BACK_OFF_H_

#include <algorithm>
#include <cstdint>

#include <absl/time/time.h>

namespace rally {

// After so many failures in a row, the first of them counted: 1 s, then twice as long every time,
// at most 60 s.
inline absl::Duration BackOffAfter(int32_t failures) {
  return std::min(absl::Seconds(60), absl::Seconds(1) * (1 << std::clamp(failures - 1, 0, 6)));
}

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_BACK_OFF_H_
