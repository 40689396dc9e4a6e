// Starting a program over with another environment, of which libraries read some as they are
// loaded.
#ifndef RALLY_COMMON_START_OVER_H_
#define RALLY_COMMON_START_OVER_H_

#include <unistd.h>

#include <climits>
#include <cstdlib>

namespace rally {

// For variables of libraries alone: the project's own settings are flags.
inline bool InEnvironment(const char* variable) { return std::getenv(variable) != nullptr; }

// Runs this program from its beginning, in this process and with the environment as it is now.
// Returns only when it fails: then go on. Call before there is anything to lose, such as threads.
inline void StartOver(char** argv) {
  // A name of its own: /proc/self/exe would name the process "exe".
  char path[PATH_MAX] = {};
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path) - 1);
  if (size > 0) execv(path, argv);
}

}  // namespace rally

#endif  // RALLY_COMMON_START_OVER_H_
