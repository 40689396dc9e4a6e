#include "workers/outbox.h"

#include <algorithm>
#include <string>
#include <utility>

#include "proto/convert.h"
#include "proto/wire_text.h"

namespace rally {
namespace {

constexpr int kLinesPerBatch = 256;
constexpr size_t kLongestLine = 4096;  // Bytes; the rest is cut off.

bool SameJob(const v1::JobEpoch& a, const v1::JobEpoch& b) {
  return a.job_id() == b.job_id() && a.epoch() == b.epoch();
}

}  // namespace

bool Outbox::Put(v1::MemberMessage message) {
  absl::MutexLock lock(&mutex_);
  if (closed_ || items_.size() - lines_ >= message_capacity_) return false;
  items_.push_back(std::move(message));
  return true;
}

void Outbox::PutLine(absl::Time time, LogSeverity severity, absl::string_view text) {
  absl::MutexLock lock(&mutex_);
  const bool debug = severity == LogSeverity::kDebug;
  if (closed_ || !job_.has_value() || !MakeRoomForLine(debug)) return;
  Line line;
  line.job = *job_;
  line.debug = debug;
  *line.entry.mutable_time() = ToProto(time);
  line.entry.set_severity(std::string(LogSeverityName(severity)));
  line.entry.set_text(WireText(text, kLongestLine));
  items_.push_back(std::move(line));
  ++lines_;
}

// False when the new line is the one to drop.
bool Outbox::MakeRoomForLine(bool debug) {
  if (lines_ < line_capacity_) return true;
  if (debug) return false;
  const auto is_debug = [](const Item& item) {
    const Line* line = std::get_if<Line>(&item);
    return line != nullptr && line->debug;
  };
  auto victim = std::find_if(items_.begin(), items_.end(), is_debug);
  if (victim == items_.end()) {
    victim = std::find_if(items_.begin(), items_.end(),
                          [](const Item& item) { return std::holds_alternative<Line>(item); });
  }
  items_.erase(victim);
  --lines_;
  return true;
}

void Outbox::SetJob(std::optional<v1::JobEpoch> job) {
  absl::MutexLock lock(&mutex_);
  job_ = std::move(job);
}

std::optional<v1::MemberMessage> Outbox::Take(absl::Time deadline) {
  absl::MutexLock lock(&mutex_);
  const auto ready = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return closed_ || interrupted_ || !items_.empty();
  };
  mutex_.AwaitWithDeadline(absl::Condition(&ready), deadline);
  if (interrupted_ || items_.empty()) return std::nullopt;
  if (std::holds_alternative<Line>(items_.front())) return TakeLines();
  v1::MemberMessage message = std::move(std::get<v1::MemberMessage>(items_.front()));
  items_.pop_front();
  return message;
}

v1::MemberMessage Outbox::TakeLines() {
  v1::MemberMessage message;
  v1::LogBatch* batch = message.mutable_logs();
  *batch->mutable_job() = std::get<Line>(items_.front()).job;
  while (!items_.empty() && batch->entries_size() < kLinesPerBatch) {
    Line* line = std::get_if<Line>(&items_.front());
    if (line == nullptr || !SameJob(line->job, batch->job())) break;
    *batch->add_entries() = std::move(line->entry);
    items_.pop_front();
    --lines_;
  }
  return message;
}

void Outbox::Interrupt() {
  absl::MutexLock lock(&mutex_);
  interrupted_ = true;
}

void Outbox::Clear() {
  absl::MutexLock lock(&mutex_);
  interrupted_ = false;
  items_.clear();
  lines_ = 0;
}

void Outbox::Close() {
  absl::MutexLock lock(&mutex_);
  closed_ = true;
}

bool Outbox::drained() const {
  absl::MutexLock lock(&mutex_);
  return closed_ && items_.empty();
}

}  // namespace rally
