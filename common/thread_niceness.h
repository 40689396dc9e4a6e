// Threads that let others go first.
#ifndef RALLY_COMMON_THREAD_NICENESS_H_
#define RALLY_COMMON_THREAD_NICENESS_H_

#include <sys/resource.h>
#include <unistd.h>

namespace rally {

// The calling thread, from now on, by so much more than its program's other threads; the most is
// 19.
inline void LowerThreadPriority(int niceness) {
  const auto self = static_cast<id_t>(gettid());  // On Linux threads have priorities.
  setpriority(PRIO_PROCESS, self, getpriority(PRIO_PROCESS, self) + niceness);
}

}  // namespace rally

#endif  // RALLY_COMMON_THREAD_NICENESS_H_
