// AbortSwitch: how one thread stops what another is blocked in.
//
// The working thread registers what must be told as it makes it; Abort tells all of it, once, with
// the first error. What is registered after that is told at once. Clear is called by the working
// thread before it destroys what it registered; after it no callback runs. Thread-safe.
#ifndef RALLY_WORKERS_ABORT_SWITCH_H_
#define RALLY_WORKERS_ABORT_SWITCH_H_

#include <functional>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>

namespace rally {

class AbortSwitch {
 public:
  // Must be quick and must not call back.
  using Callback = std::function<void(const absl::Status& error)>;

  void Add(Callback callback) {
    absl::MutexLock lock(&mutex_);
    if (!status_.ok()) callback(status_);
    callbacks_.push_back(std::move(callback));
  }

  // `error` is not OK; the first one counts.
  void Abort(const absl::Status& error) {
    absl::MutexLock lock(&mutex_);
    if (!status_.ok()) return;
    status_ = error;
    for (const Callback& callback : callbacks_) callback(status_);
  }

  void Clear() {
    absl::MutexLock lock(&mutex_);
    callbacks_.clear();
  }

  // OK, or the error.
  absl::Status status() const {
    absl::MutexLock lock(&mutex_);
    return status_;
  }

 private:
  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::vector<Callback> callbacks_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rally

#endif  // RALLY_WORKERS_ABORT_SWITCH_H_
