#include "services/coordinator/coordinator_metrics.h"

#include <utility>

#include <absl/strings/ascii.h>
#include <absl/strings/strip.h>

#include "proto/convert.h"

namespace rally {
namespace {

constexpr char kMembersName[] = "rally_members";
constexpr char kMembersHelp[] = "Registered members, by role and state.";

const char* StateOf(const Member& member) {
  if (member.leaving) return "leaving";
  if (member.releasing_since.has_value()) return "releasing";
  return member.job_id.empty() ? "idle" : "busy";
}

std::string PhaseName(v1::JobPhase phase) {
  const std::string name = v1::JobPhase_Name(phase);  // As JOB_PHASE_QUEUED.
  return absl::AsciiStrToLower(absl::StripPrefix(name, "JOB_PHASE_"));
}

}  // namespace

CoordinatorMetrics::CoordinatorMetrics() { SetCluster(MemberTable(), {}); }

void CoordinatorMetrics::CountRpc(const std::string& method, absl::StatusCode code) {
  registry_
      .Counter("rally_rpc_requests_total",
               "Finished calls of the gRPC front end, by method and code.",
               {{"method", method}, {"code", absl::StatusCodeToString(code)}})
      .Increment();
}

void CoordinatorMetrics::CountRefusal(const std::string& method, absl::StatusCode code) {
  registry_
      .Counter("rally_calls_refused_total",
               "Calls refused for who made them, gRPC and HTTP, by method and code.",
               {{"method", method}, {"code", absl::StatusCodeToString(code)}})
      .Increment();
}

void CoordinatorMetrics::CountHttp(const std::string& path, int code) {
  registry_
      .Counter("rally_http_requests_total", "Requests of the HTTP front end, by path and code.",
               {{"path", path}, {"code", std::to_string(code)}})
      .Increment();
}

void CoordinatorMetrics::RecordStep(const std::string& job_id, const v1::StepReport& report) {
  const MetricLabels job = {{"job", job_id}};
  const double seconds = absl::ToDoubleSeconds(FromProto(report.duration()));
  registry_.Counter("rally_steps_committed_total", "Training steps committed, all jobs.")
      .Increment();
  registry_.Counter("rally_tokens_trained_total", "Tokens of committed steps, all jobs.")
      .Increment(static_cast<double>(report.tokens()));
  registry_
      .Counter("rally_attention_bytes_total",
               "Bytes that crossed between ranks for core attention, all jobs.")
      .Increment(static_cast<double>(report.attention_bytes()));
  registry_
      .Histogram("rally_planning_seconds", "Time the planner took for one round.",
                 ExponentialBounds(1e-4, 4.0, 10))
      .Observe(absl::ToDoubleSeconds(FromProto(report.planning())));
  registry_
      .Histogram("rally_step_seconds", "Time from one commit to the next.",
                 ExponentialBounds(1e-2, 4.0, 10))
      .Observe(seconds);
  registry_.Gauge("rally_job_loss", "Loss of the last committed step, in nats.", job)
      .Set(report.loss());
  registry_.Gauge("rally_job_step", "Last committed step.", job)
      .Set(static_cast<double>(report.step()));
  registry_.Gauge("rally_job_tokens_per_second", "Tokens of the last step over its duration.", job)
      .Set(seconds > 0.0 ? static_cast<double>(report.tokens()) / seconds : 0.0);
  const auto imbalance = [&](const char* plan, double value) {
    registry_
        .Gauge("rally_job_attention_imbalance",
               "Largest over mean core-attention work per server in the last step.",
               {{"job", job_id}, {"plan", plan}})
        .Set(value);
  };
  imbalance("without", report.imbalance_without_plan());
  imbalance("with", report.imbalance_with_plan());
}

void CoordinatorMetrics::RecordValidation(const std::string& job_id,
                                          const v1::ValidationReport& report) {
  registry_
      .Gauge("rally_job_validation_loss", "Loss of the last validation, in nats.",
             {{"job", job_id}})
      .Set(report.loss());
}

void CoordinatorMetrics::ForgetJob(const std::string& job_id) { registry_.Remove("job", job_id); }

void CoordinatorMetrics::SetCluster(const MemberTable& members,
                                    const std::map<v1::JobPhase, int64_t>& jobs) {
  std::map<std::pair<std::string, std::string>, int64_t> counts;
  for (const char* role : {"model", "attention"}) {
    for (const char* state : {"idle", "busy", "releasing", "leaving"}) counts[{role, state}] = 0;
  }
  for (const auto& [id, member] : members.members()) {
    ++counts[{member.role == v1::MEMBER_ROLE_MODEL ? "model" : "attention", StateOf(member)}];
  }
  for (const auto& [key, count] : counts) {
    registry_.Gauge(kMembersName, kMembersHelp, {{"role", key.first}, {"state", key.second}})
        .Set(static_cast<double>(count));
  }
  for (int phase = v1::JOB_PHASE_QUEUED; phase <= v1::JOB_PHASE_CANCELLED; ++phase) {
    const auto found = jobs.find(static_cast<v1::JobPhase>(phase));
    registry_
        .Gauge("rally_jobs", "Jobs, by phase.",
               {{"phase", PhaseName(static_cast<v1::JobPhase>(phase))}})
        .Set(found == jobs.end() ? 0.0 : static_cast<double>(found->second));
  }
}

}  // namespace rally
