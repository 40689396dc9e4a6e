// RALLY_CHECK: a broken invariant ends the program with a message, in every build.
//
// For what can only be a defect of this program; what input or peers can cause is an absl::Status.
#ifndef RALLY_COMMON_CHECK_H_
#define RALLY_COMMON_CHECK_H_

#include <string>

namespace rally::internal {

// Writes "file:line: check failed: condition: message" to standard error and aborts.
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition,
                              const std::string& message);

}  // namespace rally::internal

// `message` is evaluated only on failure.
#define RALLY_CHECK(condition, message)                                          \
  do {                                                                           \
    if (!(condition)) [[unlikely]]                                               \
      ::rally::internal::CheckFailed(__FILE__, __LINE__, #condition, (message)); \
  } while (false)

#endif  // RALLY_COMMON_CHECK_H_
