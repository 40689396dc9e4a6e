#include "services/coordinator/cluster_service.h"

#include <utility>

#include "services/coordinator/member_session.h"
#include "services/coordinator/security_options.h"

namespace rally {

grpc::ServerBidiReactor<v1::MemberMessage, v1::CoordinatorMessage>* ClusterServiceImpl::Session(
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
  if (found != sessions_.end()) found->second->Send(std::move(message));
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
