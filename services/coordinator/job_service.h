// JobServiceImpl: the users' gRPC front end (rally/v1/jobs.proto).
//
// Reads come from the board and the store, changes go through the loop as events and are answered
// when the loop says so. Callback API: gRPC's threads call it, none blocks for long. What it
// borrows must outlive the server it is registered with.
#ifndef RALLY_SERVICES_COORDINATOR_JOB_SERVICE_H_
#define RALLY_SERVICES_COORDINATOR_JOB_SERVICE_H_

#include <atomic>
#include <map>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include "rally/v1/jobs.grpc.pb.h"
#include "services/coordinator/change_feed.h"
#include "services/coordinator/coordinator_metrics.h"
#include "services/coordinator/data_roots.h"
#include "services/coordinator/event_queue.h"
#include "services/coordinator/job_board.h"
#include "services/coordinator/security_options.h"
#include "services/coordinator/store.h"

namespace rally {

class JobServiceImpl final : public v1::JobService::CallbackService {
 public:
  // Jobs' paths stay below `roots`; of `limits` those of jobs and streams count here.
  JobServiceImpl(const JobBoard* board, Store* store, ChangeFeed* feed, EventQueue* events,
                 CoordinatorMetrics* metrics, DataRoots roots, const ServiceLimits& limits);

  // Completes the call that waits for `request`.
  void Answer(RequestId request, const absl::StatusOr<v1::Job>& answer);
  void Answer(RequestId request, const absl::StatusOr<v1::ListProcessesResponse>& answer);

  // Ends every waiting call and stream; later ones are refused.
  void Stop();

  grpc::ServerUnaryReactor* SubmitJob(grpc::CallbackServerContext* context,
                                      const v1::SubmitJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* GetJob(grpc::CallbackServerContext* context,
                                   const v1::GetJobRequest* request, v1::Job* response) override;
  grpc::ServerUnaryReactor* ListJobs(grpc::CallbackServerContext* context,
                                     const v1::ListJobsRequest* request,
                                     v1::ListJobsResponse* response) override;
  grpc::ServerUnaryReactor* CancelJob(grpc::CallbackServerContext* context,
                                      const v1::CancelJobRequest* request,
                                      v1::Job* response) override;
  grpc::ServerUnaryReactor* ListProcesses(grpc::CallbackServerContext* context,
                                          const v1::ListProcessesRequest* request,
                                          v1::ListProcessesResponse* response) override;
  grpc::ServerWriteReactor<v1::JobEvent>* WatchJob(grpc::CallbackServerContext* context,
                                                   const v1::WatchJobRequest* request) override;
  grpc::ServerWriteReactor<v1::LogLine>* StreamLogs(grpc::CallbackServerContext* context,
                                                    const v1::StreamLogsRequest* request) override;

 private:
  struct Waiting {
    grpc::ServerUnaryReactor* reactor = nullptr;
    google::protobuf::Message* response = nullptr;
    const char* method = nullptr;
  };

  // The spec as it would be queued. A job of this id that exists only needs comparing.
  absl::StatusOr<JobSpec> Admit(const v1::SubmitJobRequest& request, bool exists) const;
  // Counts a stream, until EndStream, or says that there are too many.
  absl::Status BeginStream();
  void EndStream(const char* method, grpc::StatusCode code);
  void Finish(grpc::ServerUnaryReactor* reactor, const char* method, const absl::Status& status);
  // Fills `event->request` and hands it to the loop; the call is answered later.
  template <typename RequestEvent>
  void Ask(RequestEvent event, const Waiting& waiting);
  // `answer` only when `status` is OK: of the type that the call gives.
  void Answer(RequestId request, const absl::Status& status,
              const google::protobuf::Message* answer);
  bool Ended(const std::string& job_id) const;

  const JobBoard* const board_;
  Store* const store_;
  ChangeFeed* const feed_;
  EventQueue* const events_;
  CoordinatorMetrics* const metrics_;
  const DataRoots roots_;
  const ServiceLimits limits_;

  std::atomic<int64_t> streams_{0};  // Open.
  std::atomic<bool> stopped_{false};
  absl::Mutex mutex_;
  RequestId last_request_ ABSL_GUARDED_BY(mutex_) = 0;
  std::map<RequestId, Waiting> waiting_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_JOB_SERVICE_H_
