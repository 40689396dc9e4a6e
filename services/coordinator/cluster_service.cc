#include "services/coordinator/cluster_service.h"

#include <optional>
#include <utility>

#include "common/check.h"
#include "services/coordinator/member_session.h"
#include "services/coordinator/security_options.h"

namespace rally {
namespace {

// More than all sessions' outboxes hold; the sender never waits for a member.
constexpr size_t kMostOutgoing = size_t{1} << 20;

grpc::ByteBuffer Encode(const v1::CoordinatorMessage& message) {
  grpc::ByteBuffer wire;
  bool own = false;
  const grpc::Status status =
      grpc::SerializationTraits<v1::CoordinatorMessage>::Serialize(message, &wire, &own);
  RALLY_CHECK(status.ok(), status.error_message());
  return wire;
}

}  // namespace

ClusterServiceImpl::ClusterServiceImpl(EventQueue* events, int64_t max_sessions)
    : events_(events),
      max_sessions_(max_sessions),
      outgoing_(kMostOutgoing),
      sender_([this] { SendAll(); }) {}

ClusterServiceImpl::~ClusterServiceImpl() { Stop(); }

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
  outgoing_.Push({session, std::move(message), absl::OkStatus()}, absl::InfiniteFuture());
}

void ClusterServiceImpl::Close(SessionId session, absl::Status reason) {
  outgoing_.Push({session, nullptr, std::move(reason)}, absl::InfiniteFuture());
}

void ClusterServiceImpl::SendAll() {
  while (const std::optional<Outgoing> out = outgoing_.Pop(absl::InfiniteFuture())) {
    absl::MutexLock lock(&mutex_);
    Do(*out);
  }
}

void ClusterServiceImpl::Do(const Outgoing& out) {
  const auto found = sessions_.find(out.session);
  if (found == sessions_.end()) return;
  if (out.message == nullptr) return found->second->Close(out.reason);
  if (out.message != last_message_) {
    last_wire_ = Encode(*out.message);
    last_message_ = out.message;
  }
  found->second->Send(last_wire_);
}

void ClusterServiceImpl::Stop() {
  outgoing_.Close();
  if (sender_.joinable()) sender_.join();
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
