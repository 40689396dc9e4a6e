#include "workers/job_member.h"

#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "proto/convert.h"
#include "scheduler/check_plan.h"
#include "workers/transport/in_process_transport.h"
#include "workers/transport/ucx_transport.h"

namespace rally {

absl::StatusOr<JobAssignment> ReadAssignment(const v1::Prepare& prepare, v1::MemberRole role) {
  JobAssignment assignment;
  RALLY_ASSIGN_OR_RETURN(assignment.spec, FromProto(prepare.spec()));
  assignment.job_id = prepare.job().job_id();
  assignment.epoch = prepare.job().epoch();
  assignment.rank = prepare.rank();
  assignment.single_host = prepare.single_host();
  // In a later epoch a checkpoint may be the job's own though the coordinator never heard of it.
  assignment.restore =
      prepare.restore() || prepare.job().epoch() > 1 || assignment.spec.checkpoint.resume;
  const int32_t ranks = assignment.spec.topology().ranks();
  if (prepare.ranks() != ranks || prepare.rank() < 0 || prepare.rank() >= ranks) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", prepare.rank(), " of ", prepare.ranks(),
                                                   " does not fit a job of ", ranks, " members"));
  }
  const bool is_worker = prepare.rank() < assignment.spec.workers;
  if (is_worker != (role == v1::MEMBER_ROLE_MODEL)) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", prepare.rank(), " of a job with ",
                                                   assignment.spec.workers,
                                                   " workers does not fit this member's role"));
  }
  return assignment;
}

JobMember::~JobMember() = default;

absl::StatusOr<std::unique_ptr<Transport>> JobMember::OpenTransport() const {
  const int32_t ranks = assignment_.spec.topology().ranks();
  if (ranks == 1) return std::move(MakeInProcessTransports(1)[0]);
  UcxOptions options;
  options.rank = assignment_.rank;
  options.ranks = ranks;
  if (!assignment_.single_host) {
    options.transports = kUcxAnyTransport;
    options.network_devices.clear();
  }
  if (!resources_.transports.empty()) options.transports = resources_.transports;
  if (!resources_.network_devices.empty()) options.network_devices = resources_.network_devices;
  options.checksums = resources_.checksums;
  return MakeUcxTransport(options);
}

absl::StatusOr<v1::Prepared> JobMember::Prepare() {
  v1::Prepared prepared;
  RALLY_RETURN_IF_ERROR(PrepareRole(&prepared));
  RALLY_ASSIGN_OR_RETURN(transport_, OpenTransport());
  abort_.Add([this](const absl::Status& error) { transport_->Abort(error); });
  prepared.set_transport_address(transport_->address());
  return prepared;
}

absl::StatusOr<v1::Ready> JobMember::Connect(const v1::Connect& connect) {
  if (transport_ == nullptr || server_ != nullptr) {
    return absl::InternalError("connect came out of its order");
  }
  if (connect.transport_addresses_size() != transport_->ranks()) {
    return absl::InternalError(absl::StrCat("connect names ", connect.transport_addresses_size(),
                                            " members of ", transport_->ranks()));
  }
  const std::vector<std::string> addresses(connect.transport_addresses().begin(),
                                           connect.transport_addresses().end());
  RALLY_RETURN_IF_ERROR(transport_->Connect(addresses, /*secret=*/""));
  AttentionServerOptions options;
  options.shape = assignment_.spec.model;
  options.element = assignment_.spec.attention_element();
  options.epoch = assignment_.epoch;
  options.phase_timeout = resources_.phase_timeout;
  server_ = MakeAttentionServer(options, transport_.get(), resources_.kernel, resources_.pool);
  v1::Ready ready;
  RALLY_RETURN_IF_ERROR(ConnectRole(connect, &ready));
  return ready;
}

absl::StatusOr<Plan> JobMember::ReadPlan(const v1::Plan& message) const {
  RALLY_ASSIGN_OR_RETURN(Plan plan, FromProto(message));
  RALLY_RETURN_IF_ERROR(CheckPlan(plan, assignment_.spec.model.mask));
  const Topology topology = assignment_.spec.topology();
  if (plan.workers != topology.workers || plan.ranks() != topology.ranks()) {
    return absl::InvalidArgumentError(absl::StrCat("a plan for ", plan.workers, " workers of ",
                                                   plan.ranks(), " members does not fit a job of ",
                                                   topology.ranks(), " members"));
  }
  if (plan.stages != assignment_.spec.paced.stages) {
    return absl::InvalidArgumentError(absl::StrCat("a plan of ", plan.stages,
                                                   " pipeline stages does not fit a job of ",
                                                   assignment_.spec.paced.stages));
  }
  if (plan.round != next_round_) {
    return absl::InvalidArgumentError(
        absl::StrCat("round ", plan.round, " where ", next_round_, " is next"));
  }
  return plan;
}

absl::Status JobMember::BlameCluster(const absl::Status& status) const {
  if (status.ok() || transport_->status().code() != absl::StatusCode::kDataLoss) return status;
  return absl::UnavailableError(transport_->status().message());
}

absl::StatusOr<v1::RoundDone> JobMember::RunRound(const v1::Plan& message) {
  if (server_ == nullptr) return absl::InternalError("a plan came before connect");
  absl::StatusOr<Plan> plan = ReadPlan(message);
  // A bad plan is the coordinator's defect, not the job's fault.
  if (!plan.ok()) {
    return absl::InternalError(absl::StrCat("refused a plan: ", plan.status().message()));
  }
  ++next_round_;
  const int64_t bytes_before = transport_->counters().bytes_sent;
  v1::RoundDone done;
  done.set_round(plan->round);
  RALLY_RETURN_IF_ERROR(
      BlameCluster(RunPlan(std::make_shared<const Plan>(*std::move(plan)), &done)));
  const ServerStepStats stats = server_->stats();
  done.set_bytes_sent(transport_->counters().bytes_sent - bytes_before);
  *done.mutable_attention_compute() = ToProto(stats.compute);
  done.set_attention_pairs(stats.pairs);
  return done;
}

}  // namespace rally
