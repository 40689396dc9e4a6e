#include "workers/session.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <thread>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <grpcpp/grpcpp.h>

#include "common/log.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "proto/limits.h"
#include "rally/v1/cluster.grpc.pb.h"
#include "workers/back_off.h"

namespace rally {
namespace {

constexpr absl::Duration kShortestHeartbeat = absl::Milliseconds(50);
constexpr absl::Duration kLongestHeartbeat = absl::Minutes(1);

using Stream = grpc::ClientReaderWriter<v1::MemberMessage, v1::CoordinatorMessage>;

absl::Status FromGrpc(const grpc::Status& status) {
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()), status.error_message());
}

std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& coordinator, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMostMessageBytes);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // A coordinator is not on the web.
  // A coordinator's machine that vanishes says nothing: ask.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // As many as it takes.
  // Back-off is the session's, so no connection state is shared between its tries.
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  return grpc::CreateCustomChannel(coordinator, credentials, arguments);
}

class StreamSession final : public Session {
 public:
  StreamSession(const SessionOptions& options,
                std::shared_ptr<grpc::ChannelCredentials> credentials, Outbox* outbox,
                SessionHandler* handler)
      : options_(options),
        credentials_(std::move(credentials)),
        outbox_(*outbox),
        handler_(*handler),
        back_off_(options.first_delay, options.longest_delay, options.seed),
        thread_([this] { Run(); }) {}

  ~StreamSession() override { Close(absl::InfinitePast()); }

  bool connected() const override {
    absl::MutexLock lock(&mutex_);
    return welcomed_;
  }

  void Close(absl::Time deadline) override {
    outbox_.Close();
    {
      absl::MutexLock lock(&mutex_);
      closing_ = true;
      // The writer ends the stream once the outbox is drained.
      const auto ended = [this]()
                             ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return context_ == nullptr; };
      if (!mutex_.AwaitWithDeadline(absl::Condition(&ended), deadline)) context_->TryCancel();
    }
    if (thread_.joinable()) thread_.join();
  }

 private:
  void Run();
  absl::Status RunStream();
  absl::Status Connect(grpc::Channel* channel);
  void Read(Stream* stream);
  void Write(Stream* stream, grpc::ClientContext* context);
  bool AwaitWelcome() ABSL_LOCKS_EXCLUDED(mutex_);
  bool WaitBeforeNextTry();

  bool closing() const {
    absl::MutexLock lock(&mutex_);
    return closing_;
  }

  const SessionOptions options_;
  const std::shared_ptr<grpc::ChannelCredentials> credentials_;
  Outbox& outbox_;
  SessionHandler& handler_;
  BackOff back_off_;  // Of thread_.

  mutable absl::Mutex mutex_;
  bool closing_ ABSL_GUARDED_BY(mutex_) = false;
  grpc::ClientContext* context_ ABSL_GUARDED_BY(mutex_) = nullptr;  // Of the open stream.
  bool welcomed_ ABSL_GUARDED_BY(mutex_) = false;
  bool reading_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Duration heartbeat_ ABSL_GUARDED_BY(mutex_) = absl::Seconds(1);
  std::thread thread_;  // Last: it uses all of the above.
};

void StreamSession::Run() {
  while (!closing()) {
    const absl::Status status = RunStream();
    if (closing()) return;
    if (absl::IsInvalidArgument(status) || absl::IsPermissionDenied(status)) {
      handler_.OnRefused(status);
      return;
    }
    RALLY_LOG_WARN("no session with the coordinator at {}: {}; trying again", options_.coordinator,
                   status.ok() ? "it closed the stream" : std::string(status.message()));
    if (!WaitBeforeNextTry()) return;
  }
}

// False when the session is closing.
bool StreamSession::WaitBeforeNextTry() {
  absl::MutexLock lock(&mutex_);
  return !mutex_.AwaitWithTimeout(absl::Condition(&closing_), back_off_.Next());
}

absl::Status StreamSession::Connect(grpc::Channel* channel) {
  constexpr absl::Duration kStep = absl::Milliseconds(100);  // How soon Close is noticed.
  const absl::Time deadline = absl::Now() + options_.connect_timeout;
  while (!channel->WaitForConnected(absl::ToChronoTime(absl::Now() + kStep))) {
    if (closing()) return absl::CancelledError("closing");
    if (channel->GetState(false) == GRPC_CHANNEL_TRANSIENT_FAILURE) {
      // Only a call is told what is wrong with a certificate.
      if (!options_.security.tls.ca.empty()) return absl::OkStatus();
      return absl::UnavailableError("cannot connect");
    }
    if (absl::Now() >= deadline) return absl::DeadlineExceededError("no answer");
  }
  return absl::OkStatus();
}

// One stream from its connection to its end.
absl::Status StreamSession::RunStream() {
  const std::shared_ptr<grpc::Channel> channel = MakeChannel(options_.coordinator, credentials_);
  if (absl::Status status = Connect(channel.get()); !status.ok()) return status;
  const std::unique_ptr<v1::ClusterService::Stub> stub = v1::ClusterService::NewStub(channel);
  grpc::ClientContext context;
  {
    absl::MutexLock lock(&mutex_);
    if (closing_) return absl::CancelledError("closing");
    context_ = &context;
    reading_ = true;
  }
  outbox_.Clear();
  const std::unique_ptr<Stream> stream = stub->Session(&context);
  v1::MemberMessage hello;
  *hello.mutable_hello() = handler_.Greet();
  stream->Write(hello);
  std::thread writer([&] { Write(stream.get(), &context); });
  Read(stream.get());
  {
    absl::MutexLock lock(&mutex_);
    reading_ = false;
    welcomed_ = false;
  }
  outbox_.Interrupt();
  writer.join();
  const absl::Status status = FromGrpc(stream->Finish());
  absl::MutexLock lock(&mutex_);
  context_ = nullptr;
  return status;
}

void StreamSession::Read(Stream* stream) {
  v1::CoordinatorMessage message;
  while (stream->Read(&message)) {
    if (!message.has_welcome()) {
      handler_.OnMessage(message);
      continue;
    }
    {
      absl::MutexLock lock(&mutex_);
      heartbeat_ = std::clamp(FromProto(message.welcome().heartbeat_interval()), kShortestHeartbeat,
                              kLongestHeartbeat);
      welcomed_ = true;
    }
    back_off_.Reset();
    handler_.OnWelcome();
  }
}

// Waits for Welcome; false when the coordinator keeps silent. True as well when there is nothing to
// wait for any more.
bool StreamSession::AwaitWelcome() {
  absl::MutexLock lock(&mutex_);
  const auto known = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return welcomed_ || !reading_ || closing_;
  };
  return mutex_.AwaitWithTimeout(absl::Condition(&known), options_.connect_timeout);
}

void StreamSession::Write(Stream* stream, grpc::ClientContext* context) {
  if (!AwaitWelcome()) return context->TryCancel();
  absl::Time next_heartbeat = absl::InfinitePast();
  while (true) {
    absl::Duration interval;
    {
      absl::MutexLock lock(&mutex_);
      if (!reading_) break;
      interval = heartbeat_;
    }
    std::optional<v1::MemberMessage> message = outbox_.Take(next_heartbeat);
    if (!message.has_value() && outbox_.drained()) break;
    if (absl::Now() >= next_heartbeat) {
      v1::MemberMessage heartbeat;
      heartbeat.mutable_heartbeat();
      if (!stream->Write(heartbeat)) return;
      next_heartbeat = absl::Now() + interval;
    }
    if (message.has_value() && !stream->Write(*message)) return;
  }
  stream->WritesDone();  // The coordinator answers by ending the stream.
}

}  // namespace

absl::StatusOr<std::unique_ptr<Session>> Session::Start(const SessionOptions& options,
                                                        Outbox* outbox, SessionHandler* handler) {
  RALLY_ASSIGN_OR_RETURN(std::shared_ptr<grpc::ChannelCredentials> credentials,
                         MakeChannelCredentials(options.security));
  return std::make_unique<StreamSession>(options, std::move(credentials), outbox, handler);
}

}  // namespace rally
