#include "common/check.h"

#include <cstdio>
#include <cstdlib>

namespace rally::internal {

// Past the logger: the broken invariant may be its own, or a listener's.
void CheckFailed(const char* file, int line, const char* condition, const std::string& message) {
  std::fprintf(stderr, "%s:%d: check failed: %s: %s\n", file, line, condition, message.c_str());
  std::abort();
}

}  // namespace rally::internal
