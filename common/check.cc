#include "common/check.h"

#include <cstdlib>

#include <spdlog/spdlog.h>

namespace rally::internal {

void CheckFailed(const char* file, int line, const char* condition, const std::string& message) {
  spdlog::critical("{}:{}: check failed: {}: {}", file, line, condition, message);
  spdlog::shutdown();
  std::abort();
}

}  // namespace rally::internal
