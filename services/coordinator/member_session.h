// MemberSession: one member's stream. Made by ClusterServiceImpl, deletes itself when gRPC is done.
//
// Thread-safe. Lock order: the service's mutex, then the session's.
#ifndef RALLY_SERVICES_COORDINATOR_MEMBER_SESSION_H_
#define RALLY_SERVICES_COORDINATOR_MEMBER_SESSION_H_

#include <deque>
#include <memory>
#include <optional>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <absl/synchronization/mutex.h>
#include <grpcpp/grpcpp.h>

#include "rally/v1/cluster.pb.h"
#include "services/coordinator/cluster_service.h"
#include "services/coordinator/event_queue.h"

namespace rally {

class MemberSession final : public grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer> {
 public:
  MemberSession(SessionId id, grpc::CallbackServerContext* context, ClusterServiceImpl* service,
                EventQueue* events)
      : id_(id), context_(context), service_(service), events_(events) {}

  void Start() { StartRead(&wire_); }
  // `message` is a CoordinatorMessage's wire form. Closes the session when the member has left too
  // many messages unread.
  void Send(const grpc::ByteBuffer& message);
  // Ends the session; the first reason counts. A message that is being written is given up, unless
  // the reason is Unavailable, the coordinator's orderly end.
  void Close(const absl::Status& reason);

  void OnReadDone(bool ok) override;
  void OnWriteDone(bool ok) override;
  void OnCancel() override { Close(absl::CancelledError("the member has gone")); }
  void OnDone() override;

 private:
  // The first message: registers the member, or tells what is wrong with it.
  absl::Status Greet();
  // Any later message: hands it to the core, or tells what is wrong with it.
  absl::Status Hear();
  void BeginClosing(const absl::Status& reason) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void FinishIfIdle() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const SessionId id_;
  grpc::CallbackServerContext* const context_;
  ClusterServiceImpl* const service_;
  EventQueue* const events_;

  // Of the reading side: one callback at a time.
  grpc::ByteBuffer wire_;
  v1::MemberMessage incoming_;
  std::string member_id_;  // Empty before Hello.

  absl::Mutex mutex_;
  std::deque<grpc::ByteBuffer> outbox_ ABSL_GUARDED_BY(mutex_);
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  std::optional<absl::Status> closing_ ABSL_GUARDED_BY(mutex_);
  bool finished_ ABSL_GUARDED_BY(mutex_) = false;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_MEMBER_SESSION_H_
