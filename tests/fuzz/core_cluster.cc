#include "tests/fuzz/core_cluster.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "proto/convert.h"
#include "services/coordinator/conditions.h"
#include "services/coordinator/member_message.h"
#include "tests/fuzz/fuzz_check.h"
#include "tests/fuzz/fuzz_dataset.h"

namespace rally::test {
namespace {

constexpr int kJobs = 5;
constexpr int kMembers = 7;

CoreOptions Options() {
  CoreOptions options;
  options.ended_jobs = 2;
  options.longest_gap = absl::InfiniteDuration();  // Ticks are far apart here.
  return options;
}

// Any message has the place of its epoch.
v1::JobEpoch* EpochOf(v1::MemberMessage* message) {
  switch (message->message_case()) {
    case v1::MemberMessage::kPrepared:
      return message->mutable_prepared()->mutable_job();
    case v1::MemberMessage::kReady:
      return message->mutable_ready()->mutable_job();
    case v1::MemberMessage::kRoundDone:
      return message->mutable_round_done()->mutable_job();
    case v1::MemberMessage::kCommitted:
      return message->mutable_committed()->mutable_job();
    case v1::MemberMessage::kReleased:
      return message->mutable_released()->mutable_job();
    case v1::MemberMessage::kFailed:
      return message->mutable_failed()->mutable_job();
    case v1::MemberMessage::kLogs:
      return message->mutable_logs()->mutable_job();
    default:
      return nullptr;
  }
}

bool Persists(const Action& action) {
  return std::holds_alternative<AppendJobEvent>(action) ||
         std::holds_alternative<PersistJob>(action) || std::holds_alternative<AppendLogs>(action) ||
         std::holds_alternative<DeleteJob>(action);
}

}  // namespace

CoreCluster::CoreCluster(FuzzedDataProvider* bytes)
    : bytes_(*bytes), core_(std::make_unique<CoordinatorCore>(Options())) {}

void CoreCluster::Step() {
  using Deed = void (CoreCluster::*)();
  constexpr Deed kDeeds[] = {&CoreCluster::Submit,    &CoreCluster::Cancel, &CoreCluster::Hello,
                             &CoreCluster::Lose,      &CoreCluster::Obey,   &CoreCluster::ObeyAll,
                             &CoreCluster::Say,       &CoreCluster::Say,    &CoreCluster::SayWire,
                             &CoreCluster::FailPlan,  &CoreCluster::Tick,   &CoreCluster::Restart,
                             &CoreCluster::AnswerPlan};
  (this->*bytes_.PickValueInArray(kDeeds))();
}

std::string CoreCluster::AnyJob() {
  return absl::StrCat("job-", bytes_.ConsumeIntegralInRange<int>(0, kJobs - 1));
}

SessionId CoreCluster::AnySession() {
  if (sessions_.empty()) return 0;
  auto found = sessions_.begin();
  std::advance(found, bytes_.ConsumeIntegralInRange<size_t>(0, sessions_.size() - 1));
  return found->first;
}

v1::JobEpoch CoreCluster::AnyEpoch() {
  v1::JobEpoch epoch;
  epoch.set_job_id(AnyJob());
  const auto found = core_->jobs().find(epoch.job_id());
  epoch.set_epoch(found != core_->jobs().end() && bytes_.ConsumeBool()
                      ? found->second.job.status().epoch()
                      : bytes_.ConsumeIntegralInRange<uint32_t>(0, 4));
  return epoch;
}

JobSpec CoreCluster::AnySpec() {
  JobSpec spec;
  spec.data.path = FuzzDataset();
  spec.model.vocabulary = 257;
  spec.batch.chunk_tokens = 16;
  spec.batch.max_document_tokens = 16;
  spec.workers = bytes_.ConsumeIntegralInRange<int32_t>(1, 3);
  spec.attention.dedicated = bytes_.ConsumeIntegralInRange<int32_t>(0, 2);
  spec.training.steps = bytes_.ConsumeIntegralInRange<int64_t>(1, 4);
  spec.validation.every = bytes_.ConsumeIntegralInRange<int64_t>(0, 2);
  spec.max_restarts = bytes_.ConsumeIntegralInRange<int32_t>(0, 2);
  spec.priority = bytes_.ConsumeIntegralInRange<int32_t>(-1, 1);
  spec.min_workers = bytes_.ConsumeIntegralInRange<int32_t>(1, spec.workers);
  spec.worker_wait_seconds = bytes_.ConsumeIntegralInRange<int64_t>(0, 30);
  if (bytes_.ConsumeBool()) spec.deadline_seconds = bytes_.ConsumeIntegralInRange<int64_t>(1, 300);
  if (bytes_.ConsumeBool()) spec.checkpoint = {"checkpoints", 1};
  return spec;
}

void CoreCluster::Submit() {
  SubmitJob submission{++last_request_, AnyJob(), AnySpec()};
  if (bytes_.ConsumeBool()) submission.checkpoint_place = submission.job_id;  // No other's.
  Apply(submission);
}

void CoreCluster::Cancel() {
  const auto grace = absl::Seconds(bytes_.ConsumeIntegralInRange<int64_t>(0, 3600));
  Apply(CancelJob{++last_request_, AnyJob(), grace});
}

void CoreCluster::Hello() {
  MemberHello event;
  event.session = ++last_session_;
  event.hello.set_member_id(
      absl::StrCat("member-", bytes_.ConsumeIntegralInRange<int>(0, kMembers - 1)));
  event.hello.set_role(bytes_.ConsumeBool() ? v1::MEMBER_ROLE_MODEL : v1::MEMBER_ROLE_ATTENTION);
  event.hello.set_host(bytes_.ConsumeBool() ? "here" : "there");
  event.hello.set_process_id(bytes_.ConsumeBool() ? 1 : 2);
  if (bytes_.ConsumeBool()) *event.hello.mutable_current() = AnyEpoch();
  sessions_[event.session].member_id = event.hello.member_id();
  Apply(event);
}

void CoreCluster::Lose() {
  const SessionId session = AnySession();
  if (session == 0) return;
  const std::string member_id = sessions_[session].member_id;
  sessions_.erase(session);
  Apply(MemberLost{session, member_id, "its session ended"});
}

std::vector<v1::MemberMessage> CoreCluster::Answers(const v1::CoordinatorMessage& message) {
  v1::MemberMessage answer;
  switch (message.message_case()) {
    case v1::CoordinatorMessage::kPrepare:
      *answer.mutable_prepared()->mutable_job() = message.prepare().job();
      break;
    case v1::CoordinatorMessage::kConnect:
      *answer.mutable_ready()->mutable_job() = message.connect().job();
      break;
    case v1::CoordinatorMessage::kPlan:
      *answer.mutable_round_done()->mutable_job() = message.plan().job();
      answer.mutable_round_done()->set_round(message.plan().plan().round());
      break;
    case v1::CoordinatorMessage::kCommit:
      *answer.mutable_committed()->mutable_job() = message.commit().job();
      answer.mutable_committed()->set_round(message.commit().round());
      if (message.commit().checkpoint()) {
        v1::MemberMessage written;
        *written.mutable_checkpoint_written()->mutable_job() = message.commit().job();
        written.mutable_checkpoint_written()->set_step(message.commit().round() + 1);
        written.mutable_checkpoint_written()->set_directory("there");
        return {answer, written};
      }
      break;
    case v1::CoordinatorMessage::kRegroup:
      *answer.mutable_prepared()->mutable_job() = message.regroup().job();
      answer.mutable_prepared()->mutable_job()->set_epoch(message.regroup().epoch());
      break;
    case v1::CoordinatorMessage::kRelease:
      *answer.mutable_released()->mutable_job() = message.release().job();
      break;
    default:
      return {};
  }
  return {answer};
}

void CoreCluster::Obey() {
  const SessionId session = AnySession();
  if (session == 0 || sessions_[session].inbox.empty()) return;
  const auto message = sessions_[session].inbox.front();
  sessions_[session].inbox.pop_front();
  for (const v1::MemberMessage& answer : Answers(*message)) Deliver(session, answer);
}

void CoreCluster::ObeyAll() {
  for (int i = bytes_.ConsumeIntegralInRange<int>(1, 8); i > 0; --i) {
    std::vector<std::pair<SessionId, std::shared_ptr<const v1::CoordinatorMessage>>> messages;
    for (auto& [id, session] : sessions_) {
      for (auto& message : session.inbox) messages.emplace_back(id, std::move(message));
      session.inbox.clear();
    }
    for (const auto& [id, message] : messages) {
      for (const v1::MemberMessage& answer : Answers(*message)) Deliver(id, answer);
    }
    if (!plans_.empty()) AnswerPlan();
  }
}

void CoreCluster::Say() {
  const SessionId session = AnySession();
  if (session != 0) Deliver(session, AnyMessage());
}

v1::MemberMessage CoreCluster::AnyMessage() {
  v1::MemberMessage message;
  // A good shape, any fields: those of the wire form replace them.
  switch (bytes_.ConsumeIntegralInRange<int>(0, 8)) {
    case 0:
      message.mutable_prepared();
      break;
    case 1:
      message.mutable_ready()->set_step(bytes_.ConsumeIntegral<int64_t>());
      message.mutable_ready()->mutable_position()->set_index(bytes_.ConsumeIntegral<int64_t>());
      message.mutable_ready()->mutable_position()->set_token(bytes_.ConsumeIntegral<int64_t>());
      message.mutable_ready()->mutable_position()->set_pass(bytes_.ConsumeIntegral<int64_t>());
      break;
    case 2:
    case 3: {
      v1::RoundDone* done = message.mutable_round_done();
      done->set_round(bytes_.ConsumeIntegralInRange<int64_t>(0, 5));
      done->set_loss(bytes_.ConsumeFloatingPoint<double>());
      done->set_bytes_sent(bytes_.ConsumeIntegral<int64_t>());
      done->set_attention_pairs(bytes_.ConsumeIntegral<int64_t>());
      done->mutable_attention_compute()->set_seconds(bytes_.ConsumeIntegral<int64_t>());
      done->mutable_attention_compute()->set_nanos(bytes_.ConsumeIntegral<int32_t>());
      break;
    }
    case 4:
      message.mutable_committed()->set_round(bytes_.ConsumeIntegralInRange<int64_t>(0, 5));
      message.mutable_committed()->set_weights_checksum(bytes_.ConsumeRandomLengthString(2));
      break;
    case 5:
      message.mutable_released();
      break;
    case 6:
      message.mutable_failed()->set_code(bytes_.ConsumeIntegral<int32_t>());
      break;
    case 7:
      message.mutable_logs()->add_entries()->set_text("line");
      break;
    default:
      message.mutable_leaving();
      break;
  }
  if (v1::JobEpoch* epoch = EpochOf(&message)) *epoch = AnyEpoch();
  return message;
}

void CoreCluster::SayWire() {
  const SessionId session = AnySession();
  const std::string wire = bytes_.ConsumeRandomLengthString(200);
  v1::MemberMessage message;
  if (session == 0 || !message.ParseFromString(wire)) return;
  v1::JobEpoch* epoch = EpochOf(&message);
  if (epoch != nullptr && bytes_.ConsumeBool()) *epoch = AnyEpoch();
  Deliver(session, message);
}

void CoreCluster::Deliver(SessionId session, const v1::MemberMessage& message) {
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  if (message.message_case() == v1::MemberMessage::kHello || !CheckMemberMessage(message).ok()) {
    return;  // The session's to refuse.
  }
  Apply(MemberSaid{session, found->second.member_id, message});
}

// As the coordinator's planner: the data are real, the plan is empty.
void CoreCluster::Answer(const RequestPlan& request) {
  auto batches = JobBatches::Open(request.spec);
  FuzzCheck(batches.ok(), "the dataset opens: " + batches.status().ToString());
  const auto batch = (*batches)->Sample(request.key.kind, request.position);
  if (!batch.ok()) return Apply(PlanFailed{request.job_id, request.epoch, batch.status()});
  PlannedRound planned;
  planned.key = request.key;
  auto plan = std::make_shared<v1::Plan>();
  plan->set_round(request.key.round);
  plan->set_step(request.key.step);
  planned.plan = std::move(plan);
  planned.next_position = batch->next_position;
  planned.tokens = 16;
  Apply(PlanReady{request.job_id, request.epoch, std::move(planned)});
}

void CoreCluster::AnswerPlan() {
  if (plans_.empty()) return;
  const RequestPlan request = std::move(plans_.front());
  plans_.pop_front();
  Answer(request);
  if (bytes_.ConsumeBool()) Answer(request);  // A repeat.
}

void CoreCluster::FailPlan() {
  if (plans_.empty()) return;
  const RequestPlan request = std::move(plans_.front());
  plans_.pop_front();
  Apply(PlanFailed{request.job_id, request.epoch, absl::InternalError("made up")});
}

void CoreCluster::Tick() {
  now_ += absl::Seconds(bytes_.ConsumeIntegralInRange<int64_t>(0, 1200));
  Apply(rally::Tick{});
}

void CoreCluster::Restart() {
  core_ = std::make_unique<CoordinatorCore>(Options());
  sessions_.clear();
  plans_.clear();
  Recover event;
  for (const auto& [id, job] : stored_) event.jobs.push_back(job);
  Apply(event);
}

void CoreCluster::Apply(const Event& event) {
  answers_ = 0;
  const std::vector<Action> actions = core_->Apply(event, now_);
  CheckOrder(actions);
  for (const Action& action : actions) {
    std::visit([this](const auto& concrete) { Do(concrete); }, action);
  }
  const bool asks = std::holds_alternative<SubmitJob>(event) ||
                    std::holds_alternative<CancelJob>(event) ||
                    std::holds_alternative<ListProcesses>(event);
  FuzzCheck(answers_ == (asks ? 1 : 0), "a request is answered once");
  CheckMembers();
  FuzzCheck(stored_.size() == core_->jobs().size(), "the store holds the jobs that are known");
}

void CoreCluster::CheckOrder(const std::vector<Action>& actions) const {
  const bool ordered = std::is_partitioned(actions.begin(), actions.end(), Persists);
  FuzzCheck(ordered, "what must survive comes before what others see");
}

void CoreCluster::CheckMembers() const {
  for (const auto& [id, state] : core_->jobs()) {
    FuzzCheck(!state.run.has_value() || !IsFinal(state.job.status().phase()),
              "a job that has ended has no run");
    if (!state.run.has_value()) continue;
    // Servers are not missed by a run that computes no more.
    const Run& run = *state.run;
    const bool computes = !run.closing && run.end == RunEnd::kNone;
    const size_t needed = computes ? run.members.size() : static_cast<size_t>(run.spec->workers);
    for (size_t rank = 0; rank < needed; ++rank) {
      const auto found = core_->members().members().find(run.members[rank]);
      FuzzCheck(found != core_->members().members().end() && found->second.holds(id, run.epoch),
                "the members of a run hold it");
    }
  }
}

void CoreCluster::Do(const AppendJobEvent& action) {
  StoredJob& job = stored_[action.job_id];
  FuzzCheck(action.event.sequence() == job.last_sequence + 1, "events count without gaps");
  job.last_sequence = action.event.sequence();
}

void CoreCluster::Do(const PersistJob& action) {
  StoredJob& stored = stored_[action.job.job_id()];
  const v1::JobStatus& before = stored.job.status();
  const v1::JobStatus& after = action.job.status();
  FuzzCheck(!IsFinal(before.phase()) || before.phase() == after.phase(), "an end is an end");
  FuzzCheck(after.epoch() >= before.epoch(), "epochs do not fall");
  FuzzCheck(after.step() >= 0, "steps are not negative");
  FuzzCheck(!after.has_last_step() || after.last_step().attention_bytes() >= 0,
            "traffic is not negative");
  stored.job = action.job;
}

void CoreCluster::Do(const AppendLogs& action) {
  FuzzCheck(stored_.count(action.job_id) == 1, "log lines are of a job that is known");
}

void CoreCluster::Do(const DeleteJob& action) {
  FuzzCheck(stored_.erase(action.job_id) == 1, "only a stored job goes");
}

void CoreCluster::Do(const AnswerRequest& action) {
  FuzzCheck(action.request == last_request_, "the answer is to the request");
  ++answers_;
}

void CoreCluster::Do(const AnswerProcesses& action) {
  FuzzCheck(action.request == last_request_, "the answer is to the request");
  ++answers_;
}

void CoreCluster::Do(const SendToMember& action) {
  const auto found = sessions_.find(action.session);
  if (found != sessions_.end()) found->second.inbox.push_back(action.message);
}

void CoreCluster::Do(const CloseSession& action) { sessions_.erase(action.session); }

void CoreCluster::Do(const RequestPlan& action) { plans_.push_back(action); }

void CoreCluster::Do(const ForgetPlans& /*action*/) {}

}  // namespace rally::test
