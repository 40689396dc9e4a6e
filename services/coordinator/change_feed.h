// ChangeFeed: tells streams that a job has new events or log lines, and no more than that.
//
// What is new the stream reads from the store itself, so a slow reader costs nothing and loses
// nothing. One thread calls the subscribers, each at least once after a Notify; several Notify may
// become one call.
//
// Thread-safe. A callback may not call Subscribe or Unsubscribe.
#ifndef RALLY_SERVICES_COORDINATOR_CHANGE_FEED_H_
#define RALLY_SERVICES_COORDINATOR_CHANGE_FEED_H_

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

namespace rally {

class ChangeFeed {
 public:
  using SubscriptionId = uint64_t;

  ChangeFeed();
  ~ChangeFeed();
  ChangeFeed(const ChangeFeed&) = delete;
  ChangeFeed& operator=(const ChangeFeed&) = delete;

  SubscriptionId Subscribe(const std::string& job_id, std::function<void()> callback);
  // On return the callback is not running and will not run.
  void Unsubscribe(const std::string& job_id, SubscriptionId id);
  void Notify(const std::string& job_id);
  // Calls every subscriber once more, as when the program ends.
  void NotifyAll();

 private:
  void Loop();

  absl::Mutex mutex_;
  std::set<std::string> changed_ ABSL_GUARDED_BY(mutex_);
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;

  absl::Mutex subscribers_mutex_;  // Held while callbacks run.
  SubscriptionId last_id_ ABSL_GUARDED_BY(subscribers_mutex_) = 0;
  std::map<std::string, std::map<SubscriptionId, std::function<void()>>> subscribers_
      ABSL_GUARDED_BY(subscribers_mutex_);

  std::thread thread_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_CHANGE_FEED_H_
