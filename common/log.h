// Logging set-up, and a way to listen to the lines.
//
// Log lines are written with RALLY_LOG_DEBUG/INFO/WARN/ERROR or spdlog's own functions, from any
// thread. They go to standard error, one line each:
//   2026-01-31T12:00:00.123456Z info rally-worker[4711] text
#ifndef RALLY_COMMON_LOG_H_
#define RALLY_COMMON_LOG_H_

#include <functional>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>
#include <spdlog/spdlog.h>

// Formats as spdlog (fmt) does: RALLY_LOG_INFO("step {} took {} ms", step, ms).
#define RALLY_LOG_DEBUG(...) ::spdlog::debug(__VA_ARGS__)
#define RALLY_LOG_INFO(...) ::spdlog::info(__VA_ARGS__)
#define RALLY_LOG_WARN(...) ::spdlog::warn(__VA_ARGS__)
#define RALLY_LOG_ERROR(...) ::spdlog::error(__VA_ARGS__)

namespace rally {

enum class LogSeverity { kDebug, kInfo, kWarning, kError };

// "debug", "info", "warning", "error".
absl::string_view LogSeverityName(LogSeverity severity);

// Call at the start of main, before other threads. `level` is the name of the least severity that
// is logged; anything else is InvalidArgument and leaves logging as it was.
absl::Status SetupLogging(const std::string& program, absl::string_view level);

// Called for every line at or above the level, from the thread that logs it, one at a time. It must
// be quick and must not log. `time` is the system's.
using LogListener =
    std::function<void(absl::Time time, LogSeverity severity, absl::string_view text)>;

// Destroying it ends the listening; the listener is not running and will not run after that.
class LogListenerHandle {
 public:
  virtual ~LogListenerHandle() = default;
};

// After SetupLogging (aborts otherwise).
std::unique_ptr<LogListenerHandle> AddLogListener(LogListener listener);

}  // namespace rally

#endif  // RALLY_COMMON_LOG_H_
