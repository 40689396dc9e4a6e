// ScriptedMember: a member that speaks the control protocol and computes nothing.
//
// It answers every message at once, watches that the coordinator keeps to the protocol (plans in
// order and checked, at most one ahead, commits only for the round in work), and misbehaves where
// its script says so. Its loss at step s is 1 / s. Threads of its own; thread-safe.
#ifndef RALLY_TESTS_SERVICES_SCRIPTED_MEMBER_H_
#define RALLY_TESTS_SERVICES_SCRIPTED_MEMBER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <grpcpp/grpcpp.h>

#include "rally/v1/cluster.grpc.pb.h"
#include "scheduler/plan.h"

namespace rally {

// What a shared checkpoint directory is to real members.
class ScriptedDisk {
 public:
  struct Checkpoint {
    int64_t step = 0;
    DataPosition position;
  };
  void Save(const Checkpoint& checkpoint) {
    absl::MutexLock lock(&mutex_);
    newest_ = checkpoint;
  }
  Checkpoint Load() const {
    absl::MutexLock lock(&mutex_);
    return newest_;
  }

 private:
  mutable absl::Mutex mutex_;
  Checkpoint newest_ ABSL_GUARDED_BY(mutex_);
};

struct Script {
  std::string id;
  v1::MemberRole role = v1::MEMBER_ROLE_MODEL;
  std::string host = "here";
  // Breaks the stream when the plan of this step comes, once.
  std::optional<int64_t> die_at_step;
  // Reports this failure when the plan of this step comes, once.
  std::optional<int64_t> fail_at_step;
  absl::Status failure;
  // Computes no step after this one until Resume.
  std::optional<int64_t> pause_after_step;
};

class ScriptedMember {
 public:
  // `disk` is borrowed.
  ScriptedMember(const std::string& coordinator, Script script, ScriptedDisk* disk);
  ~ScriptedMember();  // Ends the session.

  void Leave();   // As on SIGTERM.
  void Resume();  // Ends the pause.
  // True once the pause has been reached; waits until `deadline`.
  bool WaitPaused(absl::Time deadline);
  // Waits until the member is done with every job, or `deadline`.
  bool WaitIdle(absl::Time deadline);
  // What the coordinator did against the protocol; OK so far.
  absl::Status violation() const;
  int prepares() const;
  bool last_prepare_restores() const;

 private:
  using Stream = grpc::ClientReaderWriter<v1::MemberMessage, v1::CoordinatorMessage>;

  void Run();
  void RunSession() ABSL_LOCKS_EXCLUDED(state_mutex_);
  void Beat();
  bool Write(const v1::MemberMessage& message);
  // False ends the session.
  bool Handle(const v1::CoordinatorMessage& message);
  bool OnPrepare(const v1::Prepare& prepare) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_mutex_);
  bool OnPlan(const v1::PlanMessage& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_mutex_);
  bool Work() ABSL_EXCLUSIVE_LOCKS_REQUIRED(
      state_mutex_);  // Computes the oldest plan, if nothing stands against it.
  bool OnCommit(const v1::Commit& commit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_mutex_);
  void Violate(const std::string& what) ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_mutex_);

  const Script script_;
  ScriptedDisk* const disk_;
  std::unique_ptr<v1::ClusterService::Stub> stub_;

  // Guarded by state_mutex_: shared by the session's thread and the test's.
  mutable absl::Mutex state_mutex_;
  absl::Status violation_ ABSL_GUARDED_BY(state_mutex_);
  v1::JobEpoch job_ ABSL_GUARDED_BY(state_mutex_);
  int32_t rank_ ABSL_GUARDED_BY(state_mutex_) = -1;
  int32_t workers_ ABSL_GUARDED_BY(state_mutex_) = 0;
  int64_t total_steps_ ABSL_GUARDED_BY(state_mutex_) = 0;
  int64_t next_round_ ABSL_GUARDED_BY(state_mutex_) = 0;
  std::deque<Plan> plans_ ABSL_GUARDED_BY(state_mutex_);
  bool awaits_commit_ ABSL_GUARDED_BY(state_mutex_) = false;
  ScriptedDisk::Checkpoint position_ ABSL_GUARDED_BY(state_mutex_);
  int prepares_ ABSL_GUARDED_BY(state_mutex_) = 0;
  bool restores_ ABSL_GUARDED_BY(state_mutex_) = false;
  bool paused_ ABSL_GUARDED_BY(state_mutex_) = false;
  bool resumed_ ABSL_GUARDED_BY(state_mutex_) = false;
  bool died_ ABSL_GUARDED_BY(state_mutex_) = false;
  bool failed_ ABSL_GUARDED_BY(state_mutex_) = false;

  absl::Mutex write_mutex_;  // After state_mutex_.
  grpc::ClientContext* context_ ABSL_GUARDED_BY(write_mutex_) = nullptr;
  Stream* stream_ ABSL_GUARDED_BY(write_mutex_) = nullptr;

  absl::Notification stop_;
  std::thread session_;
  std::thread heart_;
};

}  // namespace rally

#endif  // RALLY_TESTS_SERVICES_SCRIPTED_MEMBER_H_
