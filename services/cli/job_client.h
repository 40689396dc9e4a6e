// JobClient: calls to a coordinator's JobService that end, one way or another, within a bound.
//
// Connects lazily, within 5 s. Every call returns the interruption's reason once that has come.
// Unavailable when nobody answers, naming the address and what to do; other errors are the
// coordinator's own. One call at a time per client; not thread-safe.
#ifndef RALLY_SERVICES_CLI_JOB_CLIENT_H_
#define RALLY_SERVICES_CLI_JOB_CLIENT_H_

#include <functional>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>
#include <grpcpp/grpcpp.h>

#include "proto/credentials.h"
#include "rally/v1/jobs.grpc.pb.h"
#include "services/cli/interruption.h"

namespace rally {

class JobClient {
 public:
  // `address` is "HOST:PORT", else InvalidArgument. `interruption` is borrowed. Errors of
  // MakeChannelCredentials.
  static absl::StatusOr<std::unique_ptr<JobClient>> Create(const std::string& address,
                                                           Interruption* interruption,
                                                           const ClientSecurity& security = {});

  // Every later call ends by then.
  void set_deadline(absl::Time deadline) { deadline_ = deadline; }

  absl::StatusOr<v1::Job> Submit(const v1::SubmitJobRequest& request);
  absl::StatusOr<v1::Job> Get(const std::string& job_id);
  // All pages.
  absl::StatusOr<v1::ListJobsResponse> List(v1::ListJobsRequest request);
  absl::StatusOr<v1::Job> Cancel(const v1::CancelJobRequest& request);

  // The processes that a job depends on now.
  absl::StatusOr<v1::ListProcessesResponse> Processes(const std::string& job_id);

  // Every event after `after_sequence`, on the calling thread, until the job has ended: returns its
  // final phase. Outlives a coordinator that comes back within `patience`: no event is lost or
  // given twice.
  absl::StatusOr<v1::JobPhase> Watch(const std::string& job_id, int64_t after_sequence,
                                     absl::Duration patience,
                                     const std::function<void(const v1::JobEvent&)>& on_event);

  absl::Status Logs(const v1::StreamLogsRequest& request,
                    const std::function<void(const v1::LogLine&)>& on_line);

 private:
  JobClient(std::string address, Interruption* interruption,
            const std::shared_ptr<grpc::ChannelCredentials>& credentials, bool secure);

  absl::Status Connect(absl::Time deadline);
  absl::Status WhyNotConnected();
  absl::StatusOr<v1::JobPhase> FinalPhase(const std::string& job_id);
  template <typename Request, typename Response>
  absl::StatusOr<Response> Call(const Request& request,
                                grpc::Status (v1::JobService::Stub::*method)(grpc::ClientContext*,
                                                                             const Request&,
                                                                             Response*));
  template <typename Message>
  absl::Status ReadAll(grpc::ClientContext* context, grpc::ClientReader<Message>* reader,
                       const std::function<void(const Message&)>& on_message);
  absl::Status FromGrpc(const grpc::Status& status) const;
  absl::Status Unreachable(const std::string& why) const;

  const std::string address_;
  const bool secure_;  // By TLS.
  Interruption& interruption_;
  absl::Time deadline_ = absl::InfiniteFuture();
  std::shared_ptr<grpc::Channel> channel_;
  std::unique_ptr<v1::JobService::Stub> stub_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_JOB_CLIENT_H_
