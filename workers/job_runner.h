// JobRunner: runs the job epochs the coordinator gives this member, one at a time.
//
// All work of a job happens on one thread of the runner's own, in the order in which the
// coordinator's messages came: LibTorch keeps the autograd engine's state per thread. Messages of
// an epoch that is not held are dropped, so late and repeated ones are harmless; a Release is
// always answered.
//
// A Regroup gives the epoch held another number and other attention servers. It stops what travels
// between members; within a round the member takes the change up by itself (PoolFeed). A pool that
// cannot be connected, with a server in it that has died since, is Trouble, and the next Regroup is
// waited for; a run's first Connect fails the epoch.
//
// A Release with `abort`, and an epoch that a newer one supersedes, stop what the thread is blocked
// in. A failure is reported once (MemberFailed); the epoch is then held, idle, until its Release.
// So is the failure of an attention server's thread to return from its kernel, by the kernel's
// watch.
//
// Threads: Handle from one thread; the rest from any. The outbox is borrowed.
#ifndef RALLY_WORKERS_JOB_RUNNER_H_
#define RALLY_WORKERS_JOB_RUNNER_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>

#include "common/bounded_queue.h"
#include "rally/v1/cluster.pb.h"
#include "workers/abort_switch.h"
#include "workers/attention/attention_kernel.h"
#include "workers/job_member.h"
#include "workers/outbox.h"

namespace rally {

class JobRunner : private PoolFeed {
 public:
  JobRunner(v1::MemberRole role, const MemberResources& resources, Outbox* outbox);
  ~JobRunner() override;  // Stop must have returned true, or not have been called.
  JobRunner(const JobRunner&) = delete;
  JobRunner& operator=(const JobRunner&) = delete;

  // Takes a message of the coordinator; returns at once.
  void Handle(const v1::CoordinatorMessage& message);

  // The epoch this member holds: from its Prepare to its Released.
  std::optional<v1::JobEpoch> held() const;
  int32_t held_rank() const;  // In it; 0 when none is held.
  // Waits until none is held; false at the deadline.
  bool AwaitIdle(absl::Time deadline) const;

  // Drops what is held and joins the thread. False when the thread is stuck at the deadline: then
  // nothing but the end of the process helps.
  bool Stop(const absl::Status& reason, absl::Time deadline);

 private:
  struct Held {
    v1::JobEpoch epoch;
    int32_t rank = 0;
    std::shared_ptr<AbortSwitch> abort;  // Of all its epochs' work.
    std::shared_ptr<AbortSwitch> pool;   // Of this epoch's transport.

    void Abort(const absl::Status& error) const {
      abort->Abort(error);
      pool->Abort(error);
    }
  };
  struct Command {
    v1::CoordinatorMessage message;
    Held held;
  };

  static constexpr size_t kLongestReason = 8192;  // Bytes, of an error or a trouble.

  static std::string Name(const v1::JobEpoch& epoch);
  // The error, logged, as it is said.
  static v1::MemberFailed LogFailure(const v1::JobEpoch& epoch, const absl::Status& status);

  // On the thread of Handle. What follows changes of the pool is in job_runner_pool.cc.
  void Enqueue(const v1::CoordinatorMessage& message, const Held& held);
  void TakeHold(const v1::CoordinatorMessage& message);
  void ChangePool(const v1::CoordinatorMessage& message);
  void BeginRelease(const v1::CoordinatorMessage& message);
  std::optional<Held> Current(const v1::JobEpoch& epoch) const;

  // On thread_.
  void Run();
  void ReportTrouble(const std::string& what) override { SayTrouble(what, /*failed=*/false); }
  void SayTrouble(absl::string_view what, bool failed);
  absl::StatusOr<std::optional<v1::PlanMessage>> AwaitPlan(const absl::Status& cause,
                                                           const v1::Standing& standing) override;
  std::optional<Command> NextCommand(absl::Time deadline);
  void Execute(const Command& command);
  bool Ignores(const Command& command) const;
  absl::Status Begin(const Command& command);
  absl::Status Regroup(const Command& command, const v1::Standing& standing);
  absl::Status Connect(const Command& command);
  void MissPool(const Command& connect, const absl::Status& cause);
  v1::Standing StandingBetweenRounds() const;
  void AddReport(v1::Standing* standing) const;
  absl::Status RunReadyPlans();
  absl::Status Commit(const v1::Commit& commit);
  void Fail(const absl::Status& status);
  void SayFailed();
  void LetGo(const Command& release);
  void DropMember();

  void Say(v1::MemberMessage message);
  void Put(v1::MemberMessage message);

  std::unique_ptr<AttentionKernel> Watched(AttentionKernel* kernel);
  // On the watch's thread.
  void ReportLateKernel(const absl::Status& late);

  const v1::MemberRole role_;
  Outbox& outbox_;
  BoundedQueue<Command> commands_;

  mutable absl::Mutex mutex_;
  std::optional<Held> held_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;  // thread_ is about to end.

  const std::unique_ptr<AttentionKernel> watched_kernel_;  // Of an attention server.
  const MemberResources resources_;

  // Of thread_: the epoch it works on.
  v1::JobEpoch epoch_;
  std::shared_ptr<AbortSwitch> abort_;
  std::unique_ptr<JobMember> member_;
  std::deque<v1::PlanMessage> plans_;        // To be run, in order.
  std::optional<int64_t> awaited_commit_;    // Round.
  bool connected_ = false;                   // Once in this run.
  v1::Ready ready_;                          // The run's first.
  v1::RoundRecord current_;                  // Round under way; empty between rounds.
  v1::RoundRecord last_;                     // The last that was committed,
  v1::RoundRecord validated_;                // and of a worker the last validation that is over.
  std::deque<Command> put_back_;             // Taken from commands_ within a round, for after it.
  std::optional<v1::MemberFailed> failure_;  // Of the epoch, as it was said.

  std::thread thread_;  // Last: it uses all of the above.
};

}  // namespace rally

#endif  // RALLY_WORKERS_JOB_RUNNER_H_
