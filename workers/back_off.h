// BackOff: how long to wait before the next try: doubling, bounded, with jitter.
//
// Deterministic by its seed. One thread at a time.
#ifndef RALLY_WORKERS_BACK_OFF_H_
#define RALLY_WORKERS_BACK_OFF_H_

#include <cstdint>
#include <random>

#include <absl/time/time.h>

namespace rally {

class BackOff {
 public:
  BackOff(absl::Duration first, absl::Duration longest, uint64_t seed)
      : first_(first), longest_(longest), current_(first), random_(seed) {}

  // Between half of the current delay and all of it; the next one's bound is twice this one's.
  absl::Duration Next();
  // After a success: begins anew.
  void Reset() { current_ = first_; }

 private:
  const absl::Duration first_;
  const absl::Duration longest_;
  absl::Duration current_;
  std::mt19937_64 random_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_BACK_OFF_H_
