#include "services/coordinator/member_session.h"

#include <utility>

#include "common/status_macros.h"
#include "services/coordinator/grpc_status.h"
#include "services/coordinator/member_message.h"

namespace rally {
namespace {

constexpr size_t kMaxOutbox = 1024;   // Messages.
constexpr size_t kMaxMemberId = 128;  // Bytes.

}  // namespace

absl::Status MemberSession::Greet() {
  if (incoming_.message_case() != v1::MemberMessage::kHello) {
    return absl::InvalidArgumentError("the first message of a session must be hello");
  }
  const v1::Hello& hello = incoming_.hello();
  if (hello.member_id().empty() || hello.member_id().size() > kMaxMemberId) {
    return absl::InvalidArgumentError("hello.member_id: must have 1 to 128 bytes");
  }
  if (hello.role() != v1::MEMBER_ROLE_MODEL && hello.role() != v1::MEMBER_ROLE_ATTENTION) {
    return absl::InvalidArgumentError("hello.role: must be MODEL (1) or ATTENTION (2)");
  }
  member_id_ = hello.member_id();
  if (events_->Put(MemberHello{id_, hello})) return absl::OkStatus();
  return absl::UnavailableError("the coordinator does not keep up or is shutting down");
}

absl::Status MemberSession::Hear() {
  if (incoming_.message_case() == v1::MemberMessage::kHello) {
    return absl::InvalidArgumentError("hello: a session has one, as its first message");
  }
  RALLY_RETURN_IF_ERROR(CheckMemberMessage(incoming_));
  if (events_->Put(MemberSaid{id_, member_id_, std::move(incoming_)})) return absl::OkStatus();
  return absl::UnavailableError("the coordinator does not keep up or is shutting down");
}

void MemberSession::OnReadDone(bool ok) {
  if (!ok) return Close(absl::OkStatus());  // The member has closed its side, or has gone.
  if (!grpc::SerializationTraits<v1::MemberMessage>::Deserialize(&wire_, &incoming_).ok()) {
    return Close(absl::InvalidArgumentError("a message is not a MemberMessage"));
  }
  const absl::Status status = member_id_.empty() ? Greet() : Hear();
  if (!status.ok()) return Close(status);
  StartRead(&wire_);
}

void MemberSession::Send(const grpc::ByteBuffer& message) {
  absl::MutexLock lock(&mutex_);
  if (closing_.has_value()) return;
  outbox_.push_back(message);
  if (outbox_.size() > kMaxOutbox) {
    BeginClosing(absl::ResourceExhaustedError("the member does not read its messages"));
  } else if (!writing_) {
    writing_ = true;
    StartWrite(&outbox_.front());
  }
}

void MemberSession::OnWriteDone(bool ok) {
  absl::MutexLock lock(&mutex_);
  writing_ = false;
  outbox_.pop_front();
  if (!ok && !closing_.has_value()) closing_ = absl::CancelledError("the member has gone");
  if (closing_.has_value()) return FinishIfIdle();
  if (outbox_.empty()) return;
  writing_ = true;
  StartWrite(&outbox_.front());
}

void MemberSession::Close(const absl::Status& reason) {
  absl::MutexLock lock(&mutex_);
  BeginClosing(reason);
}

void MemberSession::BeginClosing(const absl::Status& reason) {
  if (!closing_.has_value()) closing_ = reason;
  if (writing_ && !absl::IsUnavailable(reason)) context_->TryCancel();
  FinishIfIdle();
}

void MemberSession::FinishIfIdle() {
  if (writing_ || finished_) return;
  finished_ = true;
  Finish(ToGrpc(*closing_));
}

void MemberSession::OnDone() {
  service_->Remove(id_);
  if (!member_id_.empty()) events_->Put(MemberLost{id_, member_id_, "its session ended"});
  delete this;
}

}  // namespace rally
