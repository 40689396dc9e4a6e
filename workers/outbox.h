// Outbox: what a member has to say to the coordinator: messages and log lines, in order.
//
// First in, first out; neighbouring log lines of one job leave as one LogBatch. Bounded: of log
// lines beyond the capacity debug lines go first, then the oldest; messages beyond theirs are
// refused, which happens only to a member that has long lost its session. Nothing here blocks a
// producer. Thread-safe; one consumer at a time.
#ifndef RALLY_WORKERS_OUTBOX_H_
#define RALLY_WORKERS_OUTBOX_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <variant>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "common/log.h"
#include "rally/v1/cluster.pb.h"

namespace rally {

class Outbox {
 public:
  explicit Outbox(size_t message_capacity = 1024, size_t line_capacity = 1024)
      : message_capacity_(message_capacity), line_capacity_(line_capacity) {}

  // False when it is full or closed.
  bool Put(v1::MemberMessage message);
  // Dropped unless a job is held.
  void PutLine(absl::Time time, LogSeverity severity, absl::string_view text);

  // The job that log lines belong to from now on; nothing: none.
  void SetJob(std::optional<v1::JobEpoch> job);

  // Waits until `deadline`. Nothing when out of time, interrupted, or closed and empty.
  std::optional<v1::MemberMessage> Take(absl::Time deadline);

  // Makes every Take return at once, until Clear.
  void Interrupt();
  // Forgets all that is in it: it was meant for a session that has ended.
  void Clear();
  // Refuses what comes; what is in it can still be taken.
  void Close();
  bool drained() const;  // Closed and empty.

 private:
  struct Line {
    v1::JobEpoch job;
    v1::LogEntry entry;
    bool debug = false;
  };
  using Item = std::variant<v1::MemberMessage, Line>;

  bool MakeRoomForLine(bool debug) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  v1::MemberMessage TakeLines() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const size_t message_capacity_;
  const size_t line_capacity_;
  mutable absl::Mutex mutex_;
  std::deque<Item> items_ ABSL_GUARDED_BY(mutex_);
  size_t lines_ ABSL_GUARDED_BY(mutex_) = 0;  // Log lines among items_.
  std::optional<v1::JobEpoch> job_ ABSL_GUARDED_BY(mutex_);
  bool interrupted_ ABSL_GUARDED_BY(mutex_) = false;
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace rally

#endif  // RALLY_WORKERS_OUTBOX_H_
