// Event and Action: what goes into the coordinator's core and what comes out.
//
// An event is something that happened: a request, a member's message, a plan, time passing. An
// action is something the shell has to do, in the order given: what must survive a crash comes
// before what others can see. Plain data, safe to copy and to pass between threads.
#ifndef RALLY_SERVICES_COORDINATOR_EVENT_H_
#define RALLY_SERVICES_COORDINATOR_EVENT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "rally/v1/cluster.pb.h"
#include "rally/v1/jobs.pb.h"
#include "scheduler/job_spec.h"
#include "scheduler/plan.h"
#include "scheduler/step_forecast.h"

namespace rally {

// Names a waiting caller; AnswerRequest repeats it. 0: nobody waits.
using RequestId = uint64_t;
// Names one connection of a member; never used twice.
using SessionId = uint64_t;

// One round of a run: which step it belongs to, and whether it trains.
struct RoundKey {
  int64_t round = 0;
  int64_t step = 0;
  PlanKind kind = PlanKind::kTrain;

  friend bool operator==(const RoundKey&, const RoundKey&) = default;
};

// A checked plan in its wire form, with what the reports need of it.
struct PlannedRound {
  RoundKey key;
  std::shared_ptr<const v1::Plan> plan;
  DataPosition position;  // Where a training batch began.
  DataPosition next_position;
  int64_t tokens = 0;
  double imbalance_without_plan = 1.0;  // Every query computed at its home.
  double imbalance_with_plan = 1.0;
  absl::Duration planning;
  std::optional<StepForecast> forecast;  // Of a paced job.
};

// ---- Events ----

// A job with its state and the sequence of its last event, as the store gave it at start.
struct StoredJob {
  v1::Job job;
  int64_t last_sequence = 0;
  absl::Status allowed;          // Why a job that has not ended may not go on, its paths for one.
  std::string checkpoint_place;  // As of SubmitJob.
};
struct Recover {
  std::vector<StoredJob> jobs;
};
// `spec` has passed admission: ranges checked, vocabulary set from the dataset. A spec of
// vocabulary 0 is only compared with the job that exists; Unavailable when that has gone meanwhile.
struct SubmitJob {
  RequestId request = 0;
  std::string job_id;
  JobSpec spec;
  // spec.checkpoint.directory without links and ".."; empty: it is the spec's as it stands.
  std::string checkpoint_place;
};
struct CancelJob {
  RequestId request = 0;
  std::string job_id;
  absl::Duration grace;
};
struct ListProcesses {
  RequestId request = 0;
  std::string job_id;
};
struct MemberHello {
  SessionId session = 0;
  v1::Hello hello;
};
// The member's stream has ended.
struct MemberLost {
  SessionId session = 0;
  std::string member_id;
  std::string reason;
};
// Any message after Hello.
struct MemberSaid {
  SessionId session = 0;
  std::string member_id;
  v1::MemberMessage message;
};
struct PlanReady {
  std::string job_id;
  uint32_t epoch = 0;
  PlannedRound planned;
};
struct PlanFailed {
  std::string job_id;
  uint32_t epoch = 0;
  absl::Status status;
};
struct Tick {};

using Event = std::variant<Recover, SubmitJob, CancelJob, ListProcesses, MemberHello, MemberLost,
                           MemberSaid, PlanReady, PlanFailed, Tick>;

// ---- Actions ----

struct AppendJobEvent {
  std::string job_id;
  v1::JobEvent event;
};
// Replaces the stored job.
struct PersistJob {
  v1::Job job;
};
struct AppendLogs {
  std::string job_id;
  int32_t rank = 0;
  std::vector<v1::LogEntry> entries;
};
// Forgets a job that has ended, with its events and log lines.
struct DeleteJob {
  std::string job_id;
};
struct AnswerRequest {
  RequestId request = 0;
  absl::StatusOr<v1::Job> answer;
};
// The answer to ListProcesses: the members; the shell adds the coordinator.
struct AnswerProcesses {
  RequestId request = 0;
  absl::StatusOr<v1::ListProcessesResponse> answer;
};
struct SendToMember {
  SessionId session = 0;
  std::shared_ptr<const v1::CoordinatorMessage> message;
};
struct CloseSession {
  SessionId session = 0;
  absl::Status reason;
};
// Plan `key` of a run; the answer is PlanReady or PlanFailed.
struct RequestPlan {
  std::string job_id;
  uint32_t epoch = 0;
  std::shared_ptr<const JobSpec> spec;
  RoundKey key;
  DataPosition position;  // Where a training batch begins.
  // The round's plan over another pool: documents stay where they are, tasks are given anew. Null:
  // there is no plan yet.
  std::shared_ptr<const v1::Plan> resumed;
  int32_t dedicated = 0;  // Attention servers there are; the spec says how many there should be.
  // How long the planner may search on, divided among the jobs it plans for; zero: for its own
  // fixed number of attempts.
  absl::Duration search;
  std::vector<double> weights;  // Topology::weights.
};
// The job has ended: what was kept for its plans can go.
struct ForgetPlans {
  std::string job_id;
};

using Action = std::variant<AppendJobEvent, PersistJob, AppendLogs, DeleteJob, AnswerRequest,
                            AnswerProcesses, SendToMember, CloseSession, RequestPlan, ForgetPlans>;

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_EVENT_H_
