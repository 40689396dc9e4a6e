#include "tests/cli/scripted_job_service.h"

#include <chrono>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/check.h"

namespace rally {

ScriptedJobService::ScriptedJobService() { Start(); }

ScriptedJobService::~ScriptedJobService() { Stop(); }

void ScriptedJobService::Start() {
  int port = 0;
  grpc::ServerBuilder builder;
  builder.AddListeningPort(address_, grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(this);
  server_ = builder.BuildAndStart();
  RALLY_CHECK(server_ != nullptr, address_);
  address_ = absl::StrCat("127.0.0.1:", port);
}

void ScriptedJobService::Stop() {
  if (server_ == nullptr) return;
  server_->Shutdown(std::chrono::system_clock::now());
  server_.reset();
}

void ScriptedJobService::SetJobs(std::vector<v1::Job> jobs) {
  absl::MutexLock lock(&mutex_);
  jobs_ = std::move(jobs);
}

void ScriptedJobService::SetError(grpc::Status error) {
  absl::MutexLock lock(&mutex_);
  error_ = std::move(error);
}

void ScriptedJobService::SetEvents(std::vector<v1::JobEvent> events, int per_stream, bool hang) {
  absl::MutexLock lock(&mutex_);
  events_ = std::move(events);
  per_stream_ = per_stream;
  hang_ = hang;
}

void ScriptedJobService::SetLines(std::vector<v1::LogLine> lines) {
  absl::MutexLock lock(&mutex_);
  lines_ = std::move(lines);
}

std::vector<v1::SubmitJobRequest> ScriptedJobService::submissions() const {
  absl::MutexLock lock(&mutex_);
  return submissions_;
}

std::vector<int64_t> ScriptedJobService::watched_after() const {
  absl::MutexLock lock(&mutex_);
  return watched_after_;
}

v1::CancelJobRequest ScriptedJobService::last_cancel() const {
  absl::MutexLock lock(&mutex_);
  return last_cancel_;
}

grpc::Status ScriptedJobService::SubmitJob(grpc::ServerContext*,
                                           const v1::SubmitJobRequest* request, v1::Job* response) {
  absl::MutexLock lock(&mutex_);
  submissions_.push_back(*request);
  response->set_job_id(request->job_id());
  *response->mutable_spec() = request->spec();
  return error_;
}

grpc::Status ScriptedJobService::GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                                        v1::Job* response) {
  absl::MutexLock lock(&mutex_);
  for (const v1::Job& job : jobs_) {
    if (job.job_id() != request->job_id()) continue;
    *response = job;
    return error_;
  }
  return grpc::Status(grpc::StatusCode::NOT_FOUND, "there is no job " + request->job_id());
}

grpc::Status ScriptedJobService::ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* request,
                                          v1::ListJobsResponse* response) {
  absl::MutexLock lock(&mutex_);
  size_t page = 0;
  if (!request->page_token().empty())
    RALLY_CHECK(absl::SimpleAtoi(request->page_token(), &page), "");
  if (page < jobs_.size()) *response->add_jobs() = jobs_[page];
  if (page + 1 < jobs_.size()) response->set_next_page_token(absl::StrCat(page + 1));
  return error_;
}

grpc::Status ScriptedJobService::WatchJob(grpc::ServerContext* context,
                                          const v1::WatchJobRequest* request,
                                          grpc::ServerWriter<v1::JobEvent>* writer) {
  std::vector<v1::JobEvent> events;
  int left = 0;
  bool hang = false;
  {
    absl::MutexLock lock(&mutex_);
    watched_after_.push_back(request->after_sequence());
    events = events_;
    left = per_stream_;
    hang = hang_;
  }
  for (const v1::JobEvent& event : events) {
    if (event.sequence() <= request->after_sequence()) continue;
    if (left-- == 0) return grpc::Status(grpc::StatusCode::UNAVAILABLE, "scripted loss");
    writer->Write(event);
  }
  // A hanging stream ends when its client leaves, which a synchronous service can only ask for.
  absl::MutexLock lock(&mutex_);
  const auto let_go = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !hang_; };
  while (hang && !context->IsCancelled()) {
    if (mutex_.AwaitWithTimeout(absl::Condition(&let_go), absl::Milliseconds(2))) break;
  }
  return grpc::Status::OK;
}

grpc::Status ScriptedJobService::StreamLogs(grpc::ServerContext*,
                                            const v1::StreamLogsRequest* request,
                                            grpc::ServerWriter<v1::LogLine>* writer) {
  absl::MutexLock lock(&mutex_);
  for (const v1::LogLine& line : lines_) {
    if (!request->has_rank() || request->rank() == line.rank()) writer->Write(line);
  }
  return error_;
}

grpc::Status ScriptedJobService::CancelJob(grpc::ServerContext*,
                                           const v1::CancelJobRequest* request, v1::Job* response) {
  absl::MutexLock lock(&mutex_);
  last_cancel_ = *request;
  response->set_job_id(request->job_id());
  response->mutable_status()->set_phase(v1::JOB_PHASE_RUNNING);
  return error_;
}

std::vector<v1::JobEvent> EventsOfJob(int steps, v1::JobPhase phase) {
  std::vector<v1::JobEvent> events(steps + 2);
  for (size_t i = 0; i < events.size(); ++i) events[i].set_sequence(static_cast<int64_t>(i) + 1);
  events.front().mutable_status()->set_phase(v1::JOB_PHASE_RUNNING);
  events.front().mutable_status()->set_total_steps(steps);
  for (int step = 1; step <= steps; ++step) {
    v1::StepReport& report = *events[step].mutable_step();
    report.set_step(step);
    report.set_loss(5.0 - step);
    report.set_tokens(100);
    report.mutable_duration()->set_seconds(1);
    report.set_imbalance_without_plan(2);
    report.set_imbalance_with_plan(1);
  }
  events.back().mutable_status()->set_phase(phase);
  events.back().mutable_status()->set_total_steps(steps);
  v1::Condition& condition = *events.back().mutable_status()->add_conditions();
  condition.set_type("Completed");
  condition.set_message("as scripted");
  return events;
}

}  // namespace rally
