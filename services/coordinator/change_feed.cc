#include "services/coordinator/change_feed.h"

#include <utility>

#include <absl/time/clock.h>
#include <absl/time/time.h>

namespace rally {

ChangeFeed::ChangeFeed() : thread_([this] { Loop(); }) {}

ChangeFeed::~ChangeFeed() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
  }
  thread_.join();
}

ChangeFeed::SubscriptionId ChangeFeed::Subscribe(const std::string& job_id,
                                                 std::function<void()> callback) {
  absl::MutexLock lock(&subscribers_mutex_);
  subscribers_[job_id][++last_id_] = std::move(callback);
  return last_id_;
}

void ChangeFeed::Unsubscribe(const std::string& job_id, SubscriptionId id) {
  absl::MutexLock lock(&subscribers_mutex_);
  const auto found = subscribers_.find(job_id);
  if (found == subscribers_.end()) return;
  found->second.erase(id);
  if (found->second.empty()) subscribers_.erase(found);
}

void ChangeFeed::Notify(const std::string& job_id) {
  absl::MutexLock lock(&mutex_);
  changed_.insert(job_id);
}

void ChangeFeed::NotifyAll() {
  std::set<std::string> jobs;
  {
    absl::MutexLock lock(&subscribers_mutex_);
    for (const auto& [job_id, callbacks] : subscribers_) jobs.insert(job_id);
  }
  absl::MutexLock lock(&mutex_);
  changed_.merge(jobs);
}

void ChangeFeed::Loop() {
  const auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopped_ || !changed_.empty();
  };
  while (true) {
    std::set<std::string> changed;
    {
      absl::MutexLock lock(&mutex_);
      mutex_.AwaitWithDeadline(absl::Condition(&has_work), absl::Now() + absl::Seconds(10));
      if (stopped_) return;
      changed.swap(changed_);
    }
    absl::MutexLock lock(&subscribers_mutex_);
    for (const std::string& job_id : changed) {
      const auto found = subscribers_.find(job_id);
      if (found == subscribers_.end()) continue;
      for (const auto& [id, callback] : found->second) callback();
    }
  }
}

}  // namespace rally
