// ScriptedJobService: a JobService on loopback that answers as a test tells it to.
//
// Set the script before the call that reads it; thread-safe.
#ifndef RALLY_TESTS_CLI_SCRIPTED_JOB_SERVICE_H_
#define RALLY_TESTS_CLI_SCRIPTED_JOB_SERVICE_H_

#include <memory>
#include <string>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <grpcpp/grpcpp.h>

#include "rally/v1/jobs.grpc.pb.h"

namespace rally {

class ScriptedJobService final : public v1::JobService::Service {
 public:
  ScriptedJobService();
  ~ScriptedJobService() override;

  // "127.0.0.1:PORT"; stays the same over Stop and Start.
  const std::string& address() const { return address_; }
  void Stop();
  void Start();

  // What GetJob, SubmitJob, CancelJob and, one a page, ListJobs give.
  void SetJobs(std::vector<v1::Job> jobs);
  // The error of every unary call; OK by default.
  void SetError(grpc::Status error);
  // WatchJob sends those after the request's sequence number, `per_stream` at most, then ends with
  // UNAVAILABLE; or, when it has sent the last, with OK unless `hang`: then it waits for the
  // client.
  void SetEvents(std::vector<v1::JobEvent> events, int per_stream, bool hang);
  void SetLines(std::vector<v1::LogLine> lines);

  // The requests so far.
  std::vector<v1::SubmitJobRequest> submissions() const;
  std::vector<int64_t> watched_after() const;
  v1::CancelJobRequest last_cancel() const;

 private:
  grpc::Status SubmitJob(grpc::ServerContext*, const v1::SubmitJobRequest* request,
                         v1::Job* response) override;
  grpc::Status GetJob(grpc::ServerContext*, const v1::GetJobRequest* request,
                      v1::Job* response) override;
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest* request,
                        v1::ListJobsResponse* response) override;
  grpc::Status WatchJob(grpc::ServerContext* context, const v1::WatchJobRequest* request,
                        grpc::ServerWriter<v1::JobEvent>* writer) override;
  grpc::Status StreamLogs(grpc::ServerContext*, const v1::StreamLogsRequest* request,
                          grpc::ServerWriter<v1::LogLine>* writer) override;
  grpc::Status CancelJob(grpc::ServerContext*, const v1::CancelJobRequest* request,
                         v1::Job* response) override;

  std::unique_ptr<grpc::Server> server_;
  std::string address_ = "127.0.0.1:0";
  mutable absl::Mutex mutex_;
  std::vector<v1::Job> jobs_ ABSL_GUARDED_BY(mutex_);
  grpc::Status error_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::JobEvent> events_ ABSL_GUARDED_BY(mutex_);
  int per_stream_ ABSL_GUARDED_BY(mutex_) = 0;
  bool hang_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<v1::LogLine> lines_ ABSL_GUARDED_BY(mutex_);
  std::vector<v1::SubmitJobRequest> submissions_ ABSL_GUARDED_BY(mutex_);
  std::vector<int64_t> watched_after_ ABSL_GUARDED_BY(mutex_);
  v1::CancelJobRequest last_cancel_ ABSL_GUARDED_BY(mutex_);
};

// Events for scripts, numbered from 1: running, `steps` steps, and a last status of `phase`.
std::vector<v1::JobEvent> EventsOfJob(int steps, v1::JobPhase phase);

}  // namespace rally

#endif  // RALLY_TESTS_CLI_SCRIPTED_JOB_SERVICE_H_
