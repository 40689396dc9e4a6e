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
namespace {

// Attention servers may be missing, workers may not.
absl::Status CheckRanks(const JobSpec& spec, int32_t rank, int32_t ranks) {
  if (ranks >= spec.workers && ranks <= spec.topology().ranks() && rank >= 0 && rank < ranks) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " of ", ranks,
                                                 " does not fit a job of ", spec.workers, " to ",
                                                 spec.topology().ranks(), " members"));
}

}  // namespace

bool StatusIsOfPool(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsAborted(status) || absl::IsCancelled(status);
}

absl::StatusOr<JobAssignment> ReadAssignment(const v1::Prepare& prepare, v1::MemberRole role) {
  JobAssignment assignment;
  RALLY_ASSIGN_OR_RETURN(assignment.spec, FromProto(prepare.spec()));
  assignment.job_id = prepare.job().job_id();
  assignment.epoch = prepare.job().epoch();
  assignment.rank = prepare.rank();
  assignment.single_host = prepare.single_host();
  assignment.restore = prepare.restore() || assignment.spec.checkpoint.resume;
  assignment.checkpoint_step = prepare.checkpoint_step();
  assignment.ranks = prepare.ranks();
  RALLY_RETURN_IF_ERROR(CheckRanks(assignment.spec, prepare.rank(), prepare.ranks()));
  const bool is_worker = prepare.rank() < assignment.spec.workers;
  if (is_worker != (role == v1::MEMBER_ROLE_MODEL)) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", prepare.rank(), " of a job with ",
                                                   assignment.spec.workers,
                                                   " workers does not fit this member's role"));
  }
  return assignment;
}

JobMember::~JobMember() { LeavePool(); }

void JobMember::LeavePool() {
  pool_->Clear();
  server_.reset();
  transport_.reset();
  bytes_before_round_ = 0;
}

absl::StatusOr<std::unique_ptr<Transport>> JobMember::MakeTransport() const {
  if (assignment_.ranks == 1) return std::move(MakeInProcessTransports(1)[0]);
  UcxOptions options;
  options.rank = assignment_.rank;
  options.ranks = assignment_.ranks;
  if (!assignment_.single_host) {
    options.transports = kUcxAnyTransport;
    options.network_devices.clear();
  }
  if (!resources_.transports.empty()) options.transports = resources_.transports;
  if (!resources_.network_devices.empty()) options.network_devices = resources_.network_devices;
  options.checksums = resources_.checksums;
  return MakeUcxTransport(options);
}

absl::StatusOr<v1::Prepared> JobMember::OpenTransport() {
  RALLY_ASSIGN_OR_RETURN(transport_, MakeTransport());
  pool_->Add([this](const absl::Status& error) { transport_->Abort(error); });
  v1::Prepared prepared;
  prepared.set_transport_address(transport_->address());
  return prepared;
}

absl::StatusOr<v1::Prepared> JobMember::Prepare() {
  v1::Prepared role;
  RALLY_RETURN_IF_ERROR(PrepareRole(&role));
  RALLY_ASSIGN_OR_RETURN(v1::Prepared prepared, OpenTransport());
  prepared.MergeFrom(role);
  return prepared;
}

absl::StatusOr<v1::Prepared> JobMember::Regroup(const v1::Regroup& regroup,
                                                std::shared_ptr<AbortSwitch> pool) {
  RALLY_RETURN_IF_ERROR(CheckRanks(assignment_.spec, regroup.rank(), regroup.ranks()));
  LeavePool();
  pool_ = std::move(pool);
  assignment_.epoch = regroup.epoch();
  assignment_.rank = regroup.rank();
  assignment_.ranks = regroup.ranks();
  assignment_.single_host = regroup.single_host();
  return OpenTransport();
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
  RALLY_RETURN_IF_ERROR(transport_->Connect(addresses, connect.secret()));
  AttentionServerOptions options;
  options.shape = assignment_.spec.model;
  options.element = assignment_.spec.attention_element();
  options.epoch = assignment_.epoch;
  options.phase_timeout = resources_.phase_timeout;
  server_ = MakeAttentionServer(options, transport_.get(), resources_.kernel, resources_.pool);
  v1::Ready ready;
  if (!std::exchange(connected_, true)) {
    RALLY_RETURN_IF_ERROR(ConnectRole(connect, &ready));
  } else {
    UsePool();
  }
  return ready;
}

absl::StatusOr<Plan> JobMember::ReadPlan(const v1::Plan& message) const {
  RALLY_ASSIGN_OR_RETURN(Plan plan, FromProto(message));
  RALLY_RETURN_IF_ERROR(CheckPlan(plan, assignment_.spec.model.mask));
  const int32_t workers = assignment_.spec.workers;
  if (plan.workers != workers || plan.ranks() != assignment_.ranks) {
    return absl::InvalidArgumentError(absl::StrCat("a plan for ", plan.workers, " workers of ",
                                                   plan.ranks(), " members does not fit ", workers,
                                                   " of ", assignment_.ranks));
  }
  if (plan.stages != assignment_.spec.paced.stages) {
    return absl::InvalidArgumentError(absl::StrCat("a plan of ", plan.stages,
                                                   " pipeline stages does not fit a job of ",
                                                   assignment_.spec.paced.stages));
  }
  return plan;
}

absl::Status JobMember::BlameCluster(const absl::Status& status) const {
  // There is none when the one for a new pool could not be opened, which `status` then says.
  if (status.ok() || transport_ == nullptr || StatusIsOfPool(status)) return status;
  if (transport_->status().ok()) return status;
  return absl::UnavailableError(transport_->status().message());
}

absl::StatusOr<CollectedPhases> JobMember::ReadCollected(const v1::PlanMessage& message) const {
  CollectedPhases collected;
  collected.by_worker.assign(message.collected().begin(), message.collected().end());
  const size_t count = collected.by_worker.size();
  if (count == 0 ||
      (count == static_cast<size_t>(assignment_.spec.workers) && collected.first() >= 0)) {
    return collected;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("the standing of ", count, " workers of ", assignment_.spec.workers));
}

absl::StatusOr<v1::RoundDone> JobMember::RunRound(const v1::PlanMessage& message) {
  if (server_ == nullptr) return absl::InternalError("a plan came before connect");
  absl::StatusOr<Plan> plan = ReadPlan(message.plan());
  absl::StatusOr<CollectedPhases> collected = ReadCollected(message);
  // A bad plan is the coordinator's defect, not the job's fault.
  if (!plan.ok() || !collected.ok()) {
    const absl::Status& status = plan.ok() ? collected.status() : plan.status();
    return absl::InternalError(absl::StrCat("refused a plan: ", status.message()));
  }
  // A server may be asked for a round again, for what is left of it.
  if (assignment_.rank < assignment_.spec.workers && plan->round != next_round_) {
    return absl::InternalError(
        absl::StrCat("refused a plan: round ", plan->round, " where ", next_round_, " is next"));
  }
  next_round_ = plan->round + 1;
  v1::RoundDone done;
  done.set_round(plan->round);
  RALLY_RETURN_IF_ERROR(
      BlameCluster(RunPlan(std::make_shared<const Plan>(*std::move(plan)), *collected, &done)));
  const ServerStepStats stats = server_->stats();
  done.set_bytes_sent(transport_->counters().bytes_sent - bytes_before_round_);
  bytes_before_round_ = transport_->counters().bytes_sent;
  *done.mutable_attention_compute() = ToProto(stats.compute);
  done.set_attention_pairs(stats.pairs);
  return done;
}

}  // namespace rally
