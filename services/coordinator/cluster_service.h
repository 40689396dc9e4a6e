// ClusterServiceImpl: the members' gRPC front end (rally/v1/cluster.proto): one stream per member.
//
// Turns messages into events and sends what the loop tells it to, in order. Callback API: a session
// has no thread of its own. A session whose member does not read its messages is closed when its
// outbox is full. What it borrows must outlive the server it is registered with.
#ifndef RALLY_SERVICES_COORDINATOR_CLUSTER_SERVICE_H_
#define RALLY_SERVICES_COORDINATOR_CLUSTER_SERVICE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>

#include "rally/v1/cluster.grpc.pb.h"
#include "services/coordinator/event_queue.h"

namespace rally {

class MemberSession;

// Messages pass as bytes, so that one to many members is encoded once.
class ClusterServiceImpl final
    : public v1::ClusterService::WithRawCallbackMethod_Session<v1::ClusterService::Service> {
 public:
  // More than `max_sessions` are refused.
  ClusterServiceImpl(EventQueue* events, int64_t max_sessions)
      : events_(events), max_sessions_(max_sessions) {}

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Session(
      grpc::CallbackServerContext* context) override;

  // Both do nothing when the session has ended.
  void Send(SessionId session, std::shared_ptr<const v1::CoordinatorMessage> message);
  void Close(SessionId session, const absl::Status& reason);

  // Closes every session; later ones are refused.
  void Stop();

 private:
  friend class MemberSession;
  void Remove(SessionId session);

  EventQueue* const events_;
  const int64_t max_sessions_;
  absl::Mutex mutex_;  // Held while a session is called, so that it is not deleted meanwhile.
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  SessionId last_session_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<SessionId, MemberSession*> sessions_ ABSL_GUARDED_BY(mutex_);
  // The message that was sent last, and its wire form: a plan goes to all members of a job in turn.
  std::shared_ptr<const v1::CoordinatorMessage> last_message_ ABSL_GUARDED_BY(mutex_);
  grpc::ByteBuffer last_wire_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_CLUSTER_SERVICE_H_
