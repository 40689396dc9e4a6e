#include "common/log.h"

#include <unistd.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/base_sink.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "common/check.h"

namespace rally {
namespace {

// Hands every line to the listeners, under the sink's own mutex.
class ListenerSink final : public spdlog::sinks::base_sink<std::mutex> {
 public:
  int64_t Add(LogListener listener) {
    std::lock_guard<std::mutex> lock(mutex_);
    listeners_.emplace(next_id_, std::move(listener));
    return next_id_++;
  }

  void Remove(int64_t id) {
    std::lock_guard<std::mutex> lock(mutex_);
    listeners_.erase(id);
  }

 private:
  static LogSeverity SeverityOf(spdlog::level::level_enum level) {
    if (level >= spdlog::level::err) return LogSeverity::kError;
    if (level == spdlog::level::warn) return LogSeverity::kWarning;
    return level == spdlog::level::info ? LogSeverity::kInfo : LogSeverity::kDebug;
  }

  void sink_it_(const spdlog::details::log_msg& message) override {
    const absl::string_view text(message.payload.data(), message.payload.size());
    for (const auto& [id, listener] : listeners_) {
      listener(absl::FromChrono(message.time), SeverityOf(message.level), text);
    }
  }
  void flush_() override {}

  // Guarded by the base's mutex_, which carries no annotation.
  std::map<int64_t, LogListener> listeners_;
  int64_t next_id_ = 0;
};

class Handle final : public LogListenerHandle {
 public:
  Handle(std::shared_ptr<ListenerSink> sink, int64_t id) : sink_(std::move(sink)), id_(id) {}
  ~Handle() override { sink_->Remove(id_); }

 private:
  const std::shared_ptr<ListenerSink> sink_;
  const int64_t id_;
};

// The one of spdlog's default logger, or null before SetupLogging.
std::shared_ptr<ListenerSink> FindListenerSink() {
  for (const spdlog::sink_ptr& sink : spdlog::default_logger()->sinks()) {
    if (auto found = std::dynamic_pointer_cast<ListenerSink>(sink)) return found;
  }
  return nullptr;
}

std::optional<spdlog::level::level_enum> ParseLevel(absl::string_view level) {
  if (level == "debug") return spdlog::level::debug;
  if (level == "info") return spdlog::level::info;
  if (level == "warning") return spdlog::level::warn;
  if (level == "error") return spdlog::level::err;
  return std::nullopt;
}

}  // namespace

absl::string_view LogSeverityName(LogSeverity severity) {
  switch (severity) {
    case LogSeverity::kDebug:
      return "debug";
    case LogSeverity::kInfo:
      return "info";
    case LogSeverity::kWarning:
      return "warning";
    case LogSeverity::kError:
      return "error";
  }
  RALLY_CHECK(false, "no such severity");
}

absl::Status SetupLogging(const std::string& program, absl::string_view level) {
  const std::optional<spdlog::level::level_enum> parsed = ParseLevel(level);
  if (!parsed.has_value()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "log level \"", level, "\" is none of \"debug\", \"info\", \"warning\" and \"error\""));
  }
  std::shared_ptr<ListenerSink> listeners = FindListenerSink();
  if (listeners == nullptr) listeners = std::make_shared<ListenerSink>();
  const spdlog::sinks_init_list sinks = {std::make_shared<spdlog::sinks::stderr_sink_mt>(),
                                         std::move(listeners)};
  auto logger = std::make_shared<spdlog::logger>(program, sinks);
  logger->set_level(*parsed);
  logger->set_formatter(std::make_unique<spdlog::pattern_formatter>(
      absl::StrCat("%Y-%m-%dT%H:%M:%S.%fZ %l %n[", getpid(), "] %v"),
      spdlog::pattern_time_type::utc));
  spdlog::set_default_logger(std::move(logger));
  return absl::OkStatus();
}

std::unique_ptr<LogListenerHandle> AddLogListener(LogListener listener) {
  std::shared_ptr<ListenerSink> sink = FindListenerSink();
  RALLY_CHECK(sink != nullptr, "SetupLogging comes first");
  const int64_t id = sink->Add(std::move(listener));
  return std::make_unique<Handle>(std::move(sink), id);
}

}  // namespace rally
