// Clock: the seam through which code that must be testable reads the time.
//
// Thread-safe. Real() lives for ever.
#ifndef RALLY_COMMON_CLOCK_H_
#define RALLY_COMMON_CLOCK_H_

#include <absl/time/time.h>

namespace rally {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;

  // The system's wall clock.
  static const Clock* Real();
};

}  // namespace rally

#endif  // RALLY_COMMON_CLOCK_H_
