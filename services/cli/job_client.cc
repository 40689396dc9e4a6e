#include "services/cli/job_client.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/status_macros.h"
#include "proto/limits.h"
#include "services/coordinator/conditions.h"

namespace rally {
namespace {

constexpr absl::Duration kConnectTimeout = absl::Seconds(5);
constexpr absl::Duration kCallTimeout = absl::Seconds(20);
constexpr absl::Duration kFirstRetry = absl::Milliseconds(100);
constexpr absl::Duration kLongestRetry = absl::Seconds(2);

absl::Status CheckAddress(const std::string& address) {
  const size_t colon = address.rfind(':');
  int port = 0;
  if (colon != std::string::npos && colon > 0 &&
      absl::SimpleAtoi(address.substr(colon + 1), &port) && port >= 1 && port <= 65535) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--coordinator: ", address, " is not HOST:PORT with a port in [1, 65535]"));
}

std::shared_ptr<grpc::Channel> MakeChannel(
    const std::string& address, const std::shared_ptr<grpc::ChannelCredentials>& credentials) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);  // A coordinator is not on the web.
  arguments.SetMaxReceiveMessageSize(kMostMessageBytes);
  // A watch may be silent for long; a coordinator's machine that vanished is silent for ever.
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMilliseconds);
  arguments.SetInt(GRPC_ARG_HTTP2_MAX_PINGS_WITHOUT_DATA, 0);  // As many as it takes.
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 1000);
  return grpc::CreateCustomChannel(address, credentials, arguments);
}

}  // namespace

absl::StatusOr<std::unique_ptr<JobClient>> JobClient::Create(const std::string& address,
                                                             Interruption* interruption,
                                                             const ClientSecurity& security) {
  RALLY_RETURN_IF_ERROR(CheckAddress(address));
  RALLY_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ChannelCredentials> credentials,
                         MakeChannelCredentials(security));
  const bool secure = !security.tls.ca.empty();
  return std::unique_ptr<JobClient>(new JobClient(address, interruption, credentials, secure));
}

JobClient::JobClient(std::string address, Interruption* interruption,
                     const std::shared_ptr<grpc::ChannelCredentials>& credentials, bool secure)
    : address_(std::move(address)),
      secure_(secure),
      interruption_(*interruption),
      channel_(MakeChannel(address_, credentials)),
      stub_(v1::JobService::NewStub(channel_)) {}

absl::Status JobClient::Unreachable(const std::string& why) const {
  return absl::UnavailableError(
      absl::StrCat("no coordinator answers at ", address_, " (", why,
                   "). Start a local cluster with `rally up`, or name a running coordinator with "
                   "--coordinator=HOST:PORT.",
                   secure_ ? "" : " One that wants TLS needs --tls-ca."));
}

// With TLS there are reasons beside refusal, and only a call is told them.
absl::Status JobClient::WhyNotConnected() {
  if (!secure_) return Unreachable("connection refused");
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(std::min(deadline_, absl::Now() + kConnectTimeout)));
  v1::Job none;
  const grpc::Status status = stub_->GetJob(&context, v1::GetJobRequest(), &none);
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return Unreachable(status.error_message());
  }
  return absl::OkStatus();  // Connected by now.
}

// Waits for the connection rather than for a call's error: refusal is then known in milliseconds.
absl::Status JobClient::Connect(absl::Time deadline) {
  while (true) {
    RALLY_RETURN_IF_ERROR(interruption_.reason());
    const grpc_connectivity_state state = channel_->GetState(/*try_to_connect=*/true);
    if (state == GRPC_CHANNEL_READY) return absl::OkStatus();
    if (state == GRPC_CHANNEL_TRANSIENT_FAILURE) return WhyNotConnected();
    if (absl::Now() >= deadline) return Unreachable("no connection in time");
    channel_->WaitForStateChange(
        state, absl::ToChronoTime(std::min(deadline, absl::Now() + absl::Milliseconds(100))));
  }
}

absl::Status JobClient::FromGrpc(const grpc::Status& status) const {
  if (status.ok()) return absl::OkStatus();
  RALLY_RETURN_IF_ERROR(interruption_.reason());
  if (status.error_code() == grpc::StatusCode::UNAVAILABLE) {
    return Unreachable(status.error_message());
  }
  if (status.error_code() == grpc::StatusCode::UNIMPLEMENTED) {
    return absl::UnavailableError(absl::StrCat("what answers at ", address_,
                                               " is no coordinator of this version (",
                                               status.error_message(), ")"));
  }
  if (status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED) {
    return absl::DeadlineExceededError(
        absl::StrCat("the coordinator at ", address_, " did not answer in time"));
  }
  absl::string_view hint;
  if (status.error_code() == grpc::StatusCode::NOT_FOUND &&
      absl::StartsWith(status.error_message(), "job_id: ")) {
    hint = "; `rally list` shows the jobs there are";
  }
  return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                      absl::StrCat(status.error_message(), hint));
}

template <typename Request, typename Response>
absl::StatusOr<Response> JobClient::Call(
    const Request& request,
    grpc::Status (v1::JobService::Stub::*method)(grpc::ClientContext*, const Request&, Response*)) {
  RALLY_RETURN_IF_ERROR(Connect(absl::Now() + kConnectTimeout));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(std::min(deadline_, absl::Now() + kCallTimeout)));
  const Interruption::Scope scope(&interruption_, [&context] { context.TryCancel(); });
  Response response;
  RALLY_RETURN_IF_ERROR(FromGrpc((stub_.get()->*method)(&context, request, &response)));
  return response;
}

absl::StatusOr<v1::Job> JobClient::Submit(const v1::SubmitJobRequest& request) {
  return Call<v1::SubmitJobRequest, v1::Job>(request, &v1::JobService::Stub::SubmitJob);
}

absl::StatusOr<v1::Job> JobClient::Get(const std::string& job_id) {
  v1::GetJobRequest request;
  request.set_job_id(job_id);
  return Call<v1::GetJobRequest, v1::Job>(request, &v1::JobService::Stub::GetJob);
}

absl::StatusOr<v1::ListJobsResponse> JobClient::List(v1::ListJobsRequest request) {
  v1::ListJobsResponse all;
  do {
    RALLY_ASSIGN_OR_RETURN(v1::ListJobsResponse page,
                           (Call<v1::ListJobsRequest, v1::ListJobsResponse>(
                               request, &v1::JobService::Stub::ListJobs)));
    request.set_page_token(page.next_page_token());
    for (v1::Job& job : *page.mutable_jobs()) *all.add_jobs() = std::move(job);
  } while (!request.page_token().empty());
  return all;
}

absl::StatusOr<v1::Job> JobClient::Cancel(const v1::CancelJobRequest& request) {
  return Call<v1::CancelJobRequest, v1::Job>(request, &v1::JobService::Stub::CancelJob);
}

absl::StatusOr<v1::ListProcessesResponse> JobClient::Processes(const std::string& job_id) {
  v1::ListProcessesRequest request;
  request.set_job_id(job_id);
  return Call<v1::ListProcessesRequest, v1::ListProcessesResponse>(
      request, &v1::JobService::Stub::ListProcesses);
}

template <typename Message>
absl::Status JobClient::ReadAll(grpc::ClientContext* context, grpc::ClientReader<Message>* reader,
                                const std::function<void(const Message&)>& on_message) {
  Message message;
  {
    const Interruption::Scope scope(&interruption_, [context] { context->TryCancel(); });
    while (reader->Read(&message)) on_message(message);
  }
  return FromGrpc(reader->Finish());
}

absl::StatusOr<v1::JobPhase> JobClient::Watch(
    const std::string& job_id, int64_t after_sequence, absl::Duration patience,
    const std::function<void(const v1::JobEvent&)>& on_event) {
  v1::WatchJobRequest request;
  request.set_job_id(job_id);
  request.set_after_sequence(after_sequence);
  v1::JobPhase phase = v1::JOB_PHASE_UNSPECIFIED;
  const auto on_message = [&](const v1::JobEvent& event) {
    if (event.sequence() <= request.after_sequence()) return;
    request.set_after_sequence(event.sequence());
    if (event.has_status()) phase = event.status().phase();
    on_event(event);
  };
  absl::Time give_up = absl::InfinitePast();  // The first connection gets no patience.
  absl::Duration retry = kFirstRetry;
  while (true) {
    absl::Status status = Connect(absl::Now() + kConnectTimeout);
    if (status.ok()) {
      retry = kFirstRetry;
      give_up = absl::InfiniteFuture();
      grpc::ClientContext context;
      context.set_deadline(absl::ToChronoTime(deadline_));
      const auto reader = stub_->WatchJob(&context, request);
      status = ReadAll<v1::JobEvent>(&context, reader.get(), on_message);
      if (!status.ok() && !absl::IsUnavailable(status)) return status;
      if (IsFinal(phase)) return phase;
      if (status.ok()) return FinalPhase(job_id);
    }
    if (give_up == absl::InfiniteFuture()) give_up = absl::Now() + patience;
    if (!absl::IsUnavailable(status) || absl::Now() >= give_up) return status;
    if (interruption_.WaitUntil(absl::Now() + retry)) return interruption_.reason();
    retry = std::min(retry * 2, kLongestRetry);
  }
}

// For a stream that ended without an event that says why: all had been seen before.
absl::StatusOr<v1::JobPhase> JobClient::FinalPhase(const std::string& job_id) {
  RALLY_ASSIGN_OR_RETURN(const v1::Job job, Get(job_id));
  if (IsFinal(job.status().phase())) return job.status().phase();
  return absl::InternalError(
      absl::StrCat("the coordinator stopped reporting job ", job_id, " before it ended"));
}

absl::Status JobClient::Logs(const v1::StreamLogsRequest& request,
                             const std::function<void(const v1::LogLine&)>& on_line) {
  RALLY_RETURN_IF_ERROR(Connect(absl::Now() + kConnectTimeout));
  grpc::ClientContext context;
  context.set_deadline(absl::ToChronoTime(deadline_));
  const auto reader = stub_->StreamLogs(&context, request);
  return ReadAll<v1::LogLine>(&context, reader.get(), on_line);
}

}  // namespace rally
