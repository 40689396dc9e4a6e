// JobRunner: runs the job epochs the coordinator gives this member, one at a time.
//
// All work of a job happens on one thread of the runner's own, in the order in which the
// coordinator's messages came: LibTorch keeps the autograd engine's state per thread. Messages of
// an epoch that is not held are dropped, so late and repeated ones are harmless; a Release is
// always answered.
//
// A Release with `abort`, and an epoch that a newer one supersedes, stop what the thread is blocked
// in. A failure is reported once (MemberFailed); the epoch is then held, idle, until its Release.
//
// Threads: Handle from one thread; the rest from any. The outbox is borrowed.
#ifndef RALLY_WORKERS_JOB_RUNNER_H_
#define RALLY_WORKERS_JOB_RUNNER_H_

#include <deque>
#include <memory>
#include <optional>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "common/bounded_queue.h"
#include "rally/v1/cluster.pb.h"
#include "workers/abort_switch.h"
#include "workers/job_member.h"
#include "workers/outbox.h"

namespace rally {

class JobRunner {
 public:
  JobRunner(v1::MemberRole role, const MemberResources& resources, Outbox* outbox);
  ~JobRunner();  // Stop must have returned true, or not have been called.
  JobRunner(const JobRunner&) = delete;
  JobRunner& operator=(const JobRunner&) = delete;

  // Takes a message of the coordinator; returns at once.
  void Handle(const v1::CoordinatorMessage& message);

  // The epoch this member holds: from its Prepare to its Released.
  std::optional<v1::JobEpoch> held() const;
  // Waits until none is held; false at the deadline.
  bool AwaitIdle(absl::Time deadline) const;

  // Drops what is held and joins the thread. False when the thread is stuck at the deadline: then
  // nothing but the end of the process helps.
  bool Stop(const absl::Status& reason, absl::Time deadline);

 private:
  struct Held {
    v1::JobEpoch epoch;
    std::shared_ptr<AbortSwitch> abort;
  };
  struct Command {
    v1::CoordinatorMessage message;
    std::shared_ptr<AbortSwitch> abort;
  };

  // On the thread of Handle.
  void Enqueue(const v1::CoordinatorMessage& message, const Held& held);
  void TakeHold(const v1::CoordinatorMessage& message);
  void BeginRelease(const v1::CoordinatorMessage& message);
  std::optional<Held> Current(const v1::JobEpoch& epoch) const;

  // On thread_.
  void Run();
  void Execute(const Command& command);
  absl::Status Begin(const v1::Prepare& prepare);
  absl::Status RunReadyPlans();
  absl::Status Commit(const v1::Commit& commit);
  void Fail(const absl::Status& status);
  void LetGo(const v1::JobEpoch& epoch);
  void DropMember();

  void Say(v1::MemberMessage message);

  const v1::MemberRole role_;
  const MemberResources resources_;
  Outbox& outbox_;
  BoundedQueue<Command> commands_;

  mutable absl::Mutex mutex_;
  std::optional<Held> held_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // thread_ is about to end.

  // Of thread_: the epoch it works on.
  v1::JobEpoch epoch_;
  std::shared_ptr<AbortSwitch> abort_;
  std::unique_ptr<JobMember> member_;
  std::deque<v1::Plan> plans_;             // To be run, in order.
  std::optional<int64_t> awaited_commit_;  // Round.
  bool member_failed_ = false;

  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace rally

#endif  // RALLY_WORKERS_JOB_RUNNER_H_
