#include "workers/transport/ucx_log.h"

#include <cstdarg>
#include <cstdio>
#include <utility>

#include <ucs/debug/log_def.h>

#include "common/log.h"

namespace rally {
namespace {

constexpr size_t kLongestLine = 1024;

// The listener of each thread: UCX's log hook is a plain function, and knows no other context.
thread_local UcxErrorListener* listener = nullptr;

ucs_log_func_rc_t OnUcxLog(const char* file, unsigned line, const char* /*function*/,
                           ucs_log_level_t level, const ucs_log_component_config_t* /*component*/,
                           const char* format, va_list arguments) {
  if (level > UCS_LOG_LEVEL_WARN) return UCS_LOG_FUNC_RC_CONTINUE;  // Asked for by the user.
  char text[kLongestLine];
  std::vsnprintf(text, sizeof(text), format, arguments);
  RALLY_LOG_DEBUG("UCX {}:{}: {}", file, line, text);
  if (level <= UCS_LOG_LEVEL_ERROR && listener != nullptr) listener->Hear(text);
  return level == UCS_LOG_LEVEL_FATAL ? UCS_LOG_FUNC_RC_CONTINUE : UCS_LOG_FUNC_RC_STOP;
}

}  // namespace

void RedirectUcxLog() {
  static const bool redirected = (ucs_log_push_handler(OnUcxLog), true);
  (void)redirected;
}

UcxErrorListener::UcxErrorListener() { listener = this; }
UcxErrorListener::~UcxErrorListener() { listener = nullptr; }

}  // namespace rally
