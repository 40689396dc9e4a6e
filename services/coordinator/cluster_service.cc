#include "services/coordinator/cluster_service.h"

#include <utility>

#include "common/check.h"
#include "services/coordinator/member_session.h"
#include "services/coordinator/security_options.h"

namespace rally {

namespace {

grpc::ByteBuffer Encode(const v1::CoordinatorMessage& message) {
  grpc::ByteBuffer wire;
  bool own = false;
  const grpc::Status status =
      grpc::SerializationTraits<v1::CoordinatorMessage>::Serialize(message, &wire, &own);
  RALLY_CHECK(status.ok(), status.error_message());
  return wire;
}

}  // namespace

grpc::ServerBidiReactor<grpc::ByteBuffer, grpc::ByteBuffer>* ClusterServiceImpl::Session(
    grpc::CallbackServerContext* context) {
  absl::MutexLock lock(&mutex_);
  auto* session = new MemberSession(++last_session_, context, this, events_);
  sessions_[last_session_] = session;
  const absl::Status room = CheckLimit("--max-sessions", "open sessions of members",
                                       static_cast<int64_t>(sessions_.size()), max_sessions_);
  if (stopped_) {
    session->Close(absl::UnavailableError("the coordinator is shutting down"));
  } else if (!room.ok()) {
    session->Close(room);
  } else {
    session->Start();
  }
  return session;
}

void ClusterServiceImpl::Send(SessionId session,
                              std::shared_ptr<const v1::CoordinatorMessage> message) {
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  if (message != last_message_) {
    last_wire_ = Encode(*message);
    last_message_ = std::move(message);
  }
  found->second->Send(last_wire_);
}

void ClusterServiceImpl::Close(SessionId session, const absl::Status& reason) {
  absl::MutexLock lock(&mutex_);
  const auto found = sessions_.find(session);
  if (found != sessions_.end()) found->second->Close(reason);
}

void ClusterServiceImpl::Stop() {
  absl::MutexLock lock(&mutex_);
  stopped_ = true;
  for (const auto& [id, session] : sessions_) {
    session->Close(absl::UnavailableError("the coordinator is shutting down"));
  }
}

void ClusterServiceImpl::Remove(SessionId session) {
  absl::MutexLock lock(&mutex_);
  sessions_.erase(session);
}

}  // namespace rally
