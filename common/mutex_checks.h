// Whether Abseil's mutexes look for cycles of locks. Debian builds Abseil so that they do at every
// lock, which costs a busy coordinator a twentieth of its time.
#ifndef RALLY_COMMON_MUTEX_CHECKS_H_
#define RALLY_COMMON_MUTEX_CHECKS_H_

#include <absl/synchronization/mutex.h>

namespace rally {

// For the beginning of main: they do in builds with assertions alone.
inline void LimitMutexChecks() {
#ifdef NDEBUG
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
#endif
}

}  // namespace rally

#endif  // RALLY_COMMON_MUTEX_CHECKS_H_
