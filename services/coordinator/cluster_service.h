// ClusterServiceImpl: the members' gRPC front end (rally/v1/cluster.proto): one stream per member.
//
// Turns messages into events and sends what the loop tells it to, in order. Callback API: a session
// has no thread of its own. One thread sends for all, since a plan for hundreds of members takes
// longer than the loop may keep its callers waiting. A session whose member does not read its
// messages is closed when its outbox is full. What it borrows must outlive the server it is
// registered with.
#ifndef RALLY_SERVICES_COORDINATOR_CLUSTER_SERVICE_H_
#define RALLY_SERVICES_COORDINATOR_CLUSTER_SERVICE_H_

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <thread>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>

#include "common/bounded_queue.h"
#include "rally/v1/cluster.grpc.pb.h"
#include "services/coordinator/event_queue.h"

namespace rally {

class MemberSession;

// Messages pass as bytes, so that one to many members is encoded once.
class ClusterServiceImpl final
    : public v1::ClusterService::WithRawCallbackMethod_Session<v1::ClusterService::Service> {
 public:
  // More than `max_sessions` are refused.
  ClusterServiceImpl(EventQueue* events, int64_t max_sessions);
  ~ClusterServiceImpl();

  grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* Session(
      grpc::CallbackServerContext* context) override;

  // Both return at once, and do nothing when the session has ended.
  void Send(SessionId session, std::shared_ptr<const v1::CoordinatorMessage> message);
  void Close(SessionId session, absl::Status reason);

  // Sends what is still to be sent, then closes every session; later ones are refused. Nothing may
  // be sent any more.
  void Stop();

 private:
  friend class MemberSession;
  struct Outgoing {
    SessionId session = 0;
    std::shared_ptr<const v1::CoordinatorMessage> message;  // Null: the session is closed.
    absl::Status reason;                                    // Why.
  };

  void Remove(SessionId session);
  void SendAll();  // The sender's thread.
  void Do(const Outgoing& out) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  EventQueue* const events_;
  const int64_t max_sessions_;
  absl::Mutex mutex_;  // Held while a session is called, so that it is not deleted meanwhile.
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  SessionId last_session_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<SessionId, MemberSession*> sessions_ ABSL_GUARDED_BY(mutex_);
  // The message that was sent last, and its wire form: a plan goes to all members of a job in turn.
  // The sender's own.
  std::shared_ptr<const v1::CoordinatorMessage> last_message_;
  grpc::ByteBuffer last_wire_;
  BoundedQueue<Outgoing> outgoing_;
  std::thread sender_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_CLUSTER_SERVICE_H_
