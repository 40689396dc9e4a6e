// BoundedQueue: how threads hand work to each other.
//
// First in, first out, with a capacity; any number of producers and consumers. Close wakes
// everybody: producers are refused, consumers drain what is left.
#ifndef RALLY_COMMON_BOUNDED_QUEUE_H_
#define RALLY_COMMON_BOUNDED_QUEUE_H_

#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

namespace rally {

template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity) : capacity_(capacity) {}

  // Waits for room until `deadline`. False when closed or out of time; `value` is then dropped.
  bool Push(T value, absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    auto has_room = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return closed_ || items_.size() < capacity_;
    };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&has_room), deadline) || closed_) return false;
    items_.push_back(std::move(value));
    return true;
  }

  // Waits for an item until `deadline`. Nothing when out of time, or closed and empty.
  std::optional<T> Pop(absl::Time deadline) {
    absl::MutexLock lock(&mutex_);
    auto has_item = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return closed_ || !items_.empty();
    };
    mutex_.AwaitWithDeadline(absl::Condition(&has_item), deadline);
    if (items_.empty()) return std::nullopt;
    T value = std::move(items_.front());
    items_.pop_front();
    return value;
  }

  void Close() {
    absl::MutexLock lock(&mutex_);
    closed_ = true;
  }

  bool closed() const {
    absl::MutexLock lock(&mutex_);
    return closed_;
  }

  size_t size() const {
    absl::MutexLock lock(&mutex_);
    return items_.size();
  }

 private:
  const size_t capacity_;
  mutable absl::Mutex mutex_;
  std::deque<T> items_ ABSL_GUARDED_BY(mutex_);
  bool closed_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace rally

#endif  // RALLY_COMMON_BOUNDED_QUEUE_H_
