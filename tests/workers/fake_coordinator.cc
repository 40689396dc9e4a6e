#include "tests/workers/fake_coordinator.h"

#include <chrono>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "proto/convert.h"

namespace rally::testing {

FakeCoordinator::FakeCoordinator(int port) {
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port), grpc::InsecureServerCredentials(),
                           &port_);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  RALLY_CHECK(server_ != nullptr && port_ != 0, "the fake coordinator cannot listen");
}

FakeCoordinator::~FakeCoordinator() {
  messages_.Close();
  server_->Shutdown(std::chrono::system_clock::now());
}

std::string FakeCoordinator::address() const { return absl::StrCat("127.0.0.1:", port_); }

grpc::Status FakeCoordinator::Session(grpc::ServerContext* context, Stream* stream) {
  {
    absl::MutexLock lock(&mutex_);
    if (!refusal_.ok()) return refusal_;
    context_ = context;
    stream_ = stream;
  }
  v1::MemberMessage message;
  while (stream->Read(&message)) messages_.Push(message, absl::Now());
  absl::MutexLock lock(&mutex_);
  if (context_ == context) {
    context_ = nullptr;
    stream_ = nullptr;
  }
  return grpc::Status::OK;
}

std::optional<v1::MemberMessage> FakeCoordinator::Next(absl::Duration wait) {
  return messages_.Pop(absl::Now() + wait);
}

std::optional<v1::MemberMessage> FakeCoordinator::NextAnswer(absl::Duration wait) {
  const absl::Time deadline = absl::Now() + wait;
  while (true) {
    std::optional<v1::MemberMessage> message = messages_.Pop(deadline);
    if (!message.has_value() || (!message->has_heartbeat() && !message->has_logs())) return message;
  }
}

void FakeCoordinator::Say(const v1::CoordinatorMessage& message) {
  absl::MutexLock lock(&mutex_);
  if (stream_ != nullptr) stream_->Write(message);
}

void FakeCoordinator::Welcome(absl::Duration heartbeat_interval) {
  v1::CoordinatorMessage message;
  *message.mutable_welcome()->mutable_heartbeat_interval() = ToProto(heartbeat_interval);
  Say(message);
}

void FakeCoordinator::Drop() {
  absl::MutexLock lock(&mutex_);
  if (context_ != nullptr) context_->TryCancel();
}

void FakeCoordinator::RefuseWith(grpc::Status status) {
  absl::MutexLock lock(&mutex_);
  refusal_ = std::move(status);
}

}  // namespace rally::testing
