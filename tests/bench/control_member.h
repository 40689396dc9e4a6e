// ControlMember: a member that speaks the control protocol and computes nothing, cheap enough for
// hundreds of them in one process.
//
// It answers at once, but for RoundDone, which takes a step's time; plans are looked at only as far
// as their round. Reads and writes are gRPC's callbacks; Beat is for one thread to call often.
// Thread-safe.
#ifndef RALLY_TESTS_BENCH_CONTROL_MEMBER_H_
#define RALLY_TESTS_BENCH_CONTROL_MEMBER_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <absl/time/time.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include "rally/v1/cluster.pb.h"
#include "tests/bench/round_times.h"

namespace rally::bench {

class ControlMember final : public grpc::ClientBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  // Opens its own connection to `address` and says hello. `times` is borrowed.
  ControlMember(const std::string& address, std::string id, v1::MemberRole role,
                absl::Duration step, RoundTimes* times);
  ~ControlMember() override;  // Ends the session.

  // Sends what is due: the heartbeat, the end of a round.
  void Beat(absl::Time now);
  // The session's end, if it has ended; OK while it lasts.
  absl::Status status() const;

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnDone(const grpc::Status& status) override;

 private:
  void Handle(const v1::CoordinatorMessage& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnPlan(const RoundName& name) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void OnCommit(const v1::Commit& commit) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void StartRound() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void Send(const v1::MemberMessage& message) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const absl::Duration step_;
  RoundTimes* const times_;
  grpc::ClientContext context_;
  std::unique_ptr<grpc::GenericStub> stub_;
  grpc::ByteBuffer incoming_;  // Of the reading side.
  absl::Notification done_;

  mutable absl::Mutex mutex_;
  std::deque<grpc::ByteBuffer> outbox_ ABSL_GUARDED_BY(mutex_);  // The first is being written.
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  absl::Time next_heartbeat_ ABSL_GUARDED_BY(mutex_);
  v1::JobEpoch job_ ABSL_GUARDED_BY(mutex_);
  bool worker_ ABSL_GUARDED_BY(mutex_) = false;        // Takes commits.
  std::deque<int64_t> plans_ ABSL_GUARDED_BY(mutex_);  // Rounds; the first is worked on.
  absl::Time round_end_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();
};

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_CONTROL_MEMBER_H_
