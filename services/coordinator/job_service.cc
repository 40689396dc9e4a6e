#include "services/coordinator/job_service.h"

#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/time.h>

#include "common/status_macros.h"
#include "proto/convert.h"
#include "services/coordinator/admission.h"
#include "services/coordinator/conditions.h"
#include "services/coordinator/follow_stream.h"
#include "services/coordinator/grpc_status.h"

namespace rally {
namespace {

constexpr int kPageSize = 64;
constexpr absl::Duration kDefaultGrace = absl::Seconds(30);
constexpr absl::Duration kMaxGrace = absl::Hours(1);

absl::Status NoSuchJob(const std::string& job_id) {
  return absl::NotFoundError(absl::StrCat("job_id: there is no job \"", job_id, "\""));
}

absl::Status Stopping() { return absl::UnavailableError("the coordinator is shutting down"); }

absl::StatusOr<absl::Duration> GracePeriod(const v1::CancelJobRequest& request) {
  if (!request.has_grace_period()) return kDefaultGrace;
  const absl::Duration grace = FromProto(request.grace_period());
  if (grace >= absl::ZeroDuration() && grace <= kMaxGrace) return grace;
  return absl::InvalidArgumentError(
      absl::StrCat("grace_period: ", absl::FormatDuration(grace), " is not in [0s, 1h]"));
}

absl::Status CheckAtLeastZero(absl::string_view field, int64_t value) {
  if (value >= 0) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, ": ", value, " is negative"));
}

// A stream that ends at once with an error.
template <typename Message>
class RefusedStream final : public grpc::ServerWriteReactor<Message> {
 public:
  explicit RefusedStream(const absl::Status& status) { this->Finish(ToGrpc(status)); }
  void OnDone() override { delete this; }
};

}  // namespace

JobServiceImpl::JobServiceImpl(const JobBoard* board, Store* store, ChangeFeed* feed,
                               EventQueue* events, CoordinatorMetrics* metrics, DataRoots roots,
                               const ServiceLimits& limits)
    : board_(board),
      store_(store),
      feed_(feed),
      events_(events),
      metrics_(metrics),
      roots_(std::move(roots)),
      limits_(limits) {}

absl::StatusOr<JobSpec> JobServiceImpl::Admit(const v1::SubmitJobRequest& request,
                                              bool exists) const {
  RALLY_RETURN_IF_ERROR(CheckJobId(request.job_id()));
  RALLY_RETURN_IF_ERROR(CheckLimit("--max-job-bytes", "the job's bytes",
                                   static_cast<int64_t>(request.spec().ByteSizeLong()),
                                   limits_.job_bytes));
  RALLY_ASSIGN_OR_RETURN(JobSpec spec, FromProto(request.spec()));
  RALLY_RETURN_IF_ERROR(CheckLimit("--max-job-members", "workers and dedicated attention servers",
                                   int64_t{spec.workers} + spec.attention.dedicated,
                                   limits_.job_members));
  RALLY_RETURN_IF_ERROR(roots_.Confine(&spec));
  if (!exists) RALLY_RETURN_IF_ERROR(CheckDataset(&spec));
  return spec;
}

absl::Status JobServiceImpl::BeginStream() {
  const absl::Status room =
      CheckLimit("--max-streams", "open streams of users", ++streams_, limits_.streams);
  if (!room.ok()) --streams_;
  return room;
}

void JobServiceImpl::EndStream(const char* method, grpc::StatusCode code) {
  --streams_;
  metrics_->CountRpc(method, static_cast<absl::StatusCode>(code));
}

void JobServiceImpl::Finish(grpc::ServerUnaryReactor* reactor, const char* method,
                            const absl::Status& status) {
  metrics_->CountRpc(method, status.code());
  reactor->Finish(ToGrpc(status));
}

template <typename RequestEvent>
void JobServiceImpl::Ask(RequestEvent event, const Waiting& waiting) {
  {
    absl::MutexLock lock(&mutex_);
    event.request = ++last_request_;
    waiting_[event.request] = waiting;
  }
  const RequestId request = event.request;
  if (!events_->Put(std::move(event)) || stopped_) Answer(request, Stopping(), nullptr);
}

void JobServiceImpl::Answer(RequestId request, const absl::StatusOr<v1::Job>& answer) {
  Answer(request, answer.status(), answer.ok() ? &*answer : nullptr);
}

void JobServiceImpl::Answer(RequestId request,
                            const absl::StatusOr<v1::ListProcessesResponse>& answer) {
  Answer(request, answer.status(), answer.ok() ? &*answer : nullptr);
}

void JobServiceImpl::Answer(RequestId request, const absl::Status& status,
                            const google::protobuf::Message* answer) {
  Waiting waiting;
  {
    absl::MutexLock lock(&mutex_);
    const auto found = waiting_.find(request);
    if (found == waiting_.end()) return;
    waiting = found->second;
    waiting_.erase(found);
  }
  if (answer != nullptr) waiting.response->CopyFrom(*answer);
  Finish(waiting.reactor, waiting.method, status);
}

void JobServiceImpl::Stop() {
  stopped_ = true;
  feed_->NotifyAll();
  std::map<RequestId, Waiting> waiting;
  {
    absl::MutexLock lock(&mutex_);
    waiting.swap(waiting_);
  }
  for (const auto& [request, call] : waiting) Finish(call.reactor, call.method, Stopping());
}

grpc::ServerUnaryReactor* JobServiceImpl::SubmitJob(grpc::CallbackServerContext* context,
                                                    const v1::SubmitJobRequest* request,
                                                    v1::Job* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const bool exists = board_->Get(request->job_id()) != nullptr;
  absl::StatusOr<JobSpec> spec = Admit(*request, exists && !request->validate_only());
  if (!spec.ok()) {
    Finish(reactor, "SubmitJob", spec.status());
  } else if (request->validate_only()) {
    response->set_job_id(request->job_id());
    *response->mutable_spec() = ToProto(*spec);
    Finish(reactor, "SubmitJob", absl::OkStatus());
  } else {
    std::string place = ResolvedOrAsItIs(spec->checkpoint.directory);
    Ask(rally::SubmitJob{0, request->job_id(), *std::move(spec), std::move(place)},
        {reactor, response, "SubmitJob"});
  }
  return reactor;
}

grpc::ServerUnaryReactor* JobServiceImpl::GetJob(grpc::CallbackServerContext* context,
                                                 const v1::GetJobRequest* request,
                                                 v1::Job* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const std::shared_ptr<const v1::Job> job = board_->Get(request->job_id());
  if (job != nullptr) *response = *job;
  Finish(reactor, "GetJob", job != nullptr ? absl::OkStatus() : NoSuchJob(request->job_id()));
  return reactor;
}

grpc::ServerUnaryReactor* JobServiceImpl::ListJobs(grpc::CallbackServerContext* context,
                                                   const v1::ListJobsRequest* request,
                                                   v1::ListJobsResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  absl::StatusOr<v1::ListJobsResponse> page = board_->List(*request);
  if (page.ok()) *response = *std::move(page);
  Finish(reactor, "ListJobs", page.status());
  return reactor;
}

grpc::ServerUnaryReactor* JobServiceImpl::CancelJob(grpc::CallbackServerContext* context,
                                                    const v1::CancelJobRequest* request,
                                                    v1::Job* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  const absl::StatusOr<absl::Duration> grace = GracePeriod(*request);
  if (!grace.ok()) {
    Finish(reactor, "CancelJob", grace.status());
  } else {
    Ask(rally::CancelJob{0, request->job_id(), *grace}, {reactor, response, "CancelJob"});
  }
  return reactor;
}

grpc::ServerUnaryReactor* JobServiceImpl::ListProcesses(grpc::CallbackServerContext* context,
                                                        const v1::ListProcessesRequest* request,
                                                        v1::ListProcessesResponse* response) {
  grpc::ServerUnaryReactor* reactor = context->DefaultReactor();
  Ask(rally::ListProcesses{0, request->job_id()}, {reactor, response, "ListProcesses"});
  return reactor;
}

bool JobServiceImpl::Ended(const std::string& job_id) const {
  const std::shared_ptr<const v1::Job> job = board_->Get(job_id);
  return job == nullptr || IsFinal(job->status().phase());
}

grpc::ServerWriteReactor<v1::JobEvent>* JobServiceImpl::WatchJob(
    grpc::CallbackServerContext* /*context*/, const v1::WatchJobRequest* request) {
  const std::string job_id = request->job_id();
  absl::Status status = CheckAtLeastZero("after_sequence", request->after_sequence());
  if (status.ok() && board_->Get(job_id) == nullptr) status = NoSuchJob(job_id);
  if (status.ok()) status = BeginStream();
  if (!status.ok()) {
    metrics_->CountRpc("WatchJob", status.code());
    return new RefusedStream<v1::JobEvent>(status);
  }
  FollowStream<v1::JobEvent>::Source source;
  source.job_id = job_id;
  source.after = request->after_sequence();
  source.read = [this, job_id](int64_t after) -> absl::StatusOr<std::vector<v1::JobEvent>> {
    if (stopped_) return Stopping();
    return store_->ReadEvents(job_id, after, kPageSize);
  };
  source.ended = [this, job_id] { return Ended(job_id); };
  source.done = [this](grpc::StatusCode code) { EndStream("WatchJob", code); };
  return new FollowStream<v1::JobEvent>(std::move(source), feed_);
}

grpc::ServerWriteReactor<v1::LogLine>* JobServiceImpl::StreamLogs(
    grpc::CallbackServerContext* /*context*/, const v1::StreamLogsRequest* request) {
  const std::string job_id = request->job_id();
  absl::Status status = CheckAtLeastZero("after_sequence", request->after_sequence());
  if (status.ok()) status = CheckAtLeastZero("rank", request->rank());
  if (status.ok() && board_->Get(job_id) == nullptr) status = NoSuchJob(job_id);
  if (status.ok()) status = BeginStream();
  if (!status.ok()) {
    metrics_->CountRpc("StreamLogs", status.code());
    return new RefusedStream<v1::LogLine>(status);
  }
  const std::optional<int32_t> rank =
      request->has_rank() ? std::optional<int32_t>(request->rank()) : std::nullopt;
  const bool follow = request->follow();
  FollowStream<v1::LogLine>::Source source;
  source.job_id = job_id;
  source.after = request->after_sequence();
  source.read = [this, job_id, rank](int64_t after) -> absl::StatusOr<std::vector<v1::LogLine>> {
    if (stopped_) return Stopping();
    return store_->ReadLogs(job_id, rank, after, kPageSize);
  };
  source.ended = [this, job_id, follow] { return !follow || Ended(job_id); };
  source.done = [this](grpc::StatusCode code) { EndStream("StreamLogs", code); };
  return new FollowStream<v1::LogLine>(std::move(source), feed_);
}

}  // namespace rally
