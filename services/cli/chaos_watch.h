// ChaosWatch: follows a job on a thread of its own while faults strike it.
//
// Outlives a coordinator that is away for up to a minute, and notes when it goes. Thread-safe.
// `watching`, which is the watch's own, is interrupted when the watch is over, however that comes.
#ifndef RALLY_SERVICES_CLI_CHAOS_WATCH_H_
#define RALLY_SERVICES_CLI_CHAOS_WATCH_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "services/cli/chaos_log.h"
#include "services/cli/interruption.h"
#include "services/cli/job_client.h"

namespace rally {

class ChaosWatch {
 public:
  // Begins to follow. `client` is this object's own from now on, and was made with `watching`;
  // `same_clock`: the coordinator's clock is this machine's, so its times of events are used, else
  // those of their arrival. `interruption` ends the watch, as the job's end does. All borrowed.
  ChaosWatch(JobClient* client, Interruption* watching, Interruption* interruption,
             std::string job_id, bool same_clock);
  // Ends the watch.
  ~ChaosWatch();
  ChaosWatch(const ChaosWatch&) = delete;
  ChaosWatch& operator=(const ChaosWatch&) = delete;

  // As ChaosLog's.
  void Begin(const std::string& victim, int64_t process_id);
  void End(pid_t respawned);

  // Waits until the log is as `condition` wants it; false when the watch is over before, or it is
  // not so by `deadline`.
  bool Await(const std::function<bool(const ChaosLog&)>& condition, absl::Time deadline) const;
  // Waits until `deadline`; true when the watch is over.
  bool IsOverBy(absl::Time deadline) const;
  // Why it is over: OK when the job has ended or while it is not over.
  absl::Status status() const;
  ChaosLog log() const;

 private:
  void Follow();
  // Until the coordinator does not answer any more, or the job has ended.
  absl::Status FollowOnce();
  // False when that has lasted too long.
  bool NoteUnreachable();

  JobClient& client_;
  Interruption& watching_;
  const std::string job_id_;
  const bool same_clock_;
  const Interruption::Scope forward_;
  mutable absl::Mutex mutex_;
  ChaosLog log_ ABSL_GUARDED_BY(mutex_);
  int64_t last_sequence_ ABSL_GUARDED_BY(mutex_) = -1;  // When the coordinator went last,
  absl::Time gone_since_ ABSL_GUARDED_BY(mutex_);       // and since when it has been silent.
  bool over_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::thread thread_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_CHAOS_WATCH_H_
