#include "tests/services/core_harness.h"

#include <algorithm>
#include <memory>
#include <utility>

#include "common/check.h"
#include "proto/convert.h"

namespace rally {
namespace {

v1::JobEpoch Epoch(const std::string& job, uint32_t epoch) {
  v1::JobEpoch message;
  message.set_job_id(job);
  message.set_epoch(epoch);
  return message;
}

}  // namespace

void CoreHarness::Apply(const Event& event) {
  last = core_.Apply(event, now_);
  bool visible = false;
  for (const Action& action : last) {
    const bool persistent = std::holds_alternative<AppendJobEvent>(action) ||
                            std::holds_alternative<PersistJob>(action) ||
                            std::holds_alternative<AppendLogs>(action) ||
                            std::holds_alternative<DeleteJob>(action);
    // What must survive comes before what others see.
    RALLY_CHECK(!(persistent && visible), "persist first, then send");
    visible |= !persistent;
    if (const auto* send = std::get_if<SendToMember>(&action)) {
      sent_[send->session].push_back(*send->message);
    } else if (const auto* append = std::get_if<AppendJobEvent>(&action)) {
      events.push_back(append->event);
    } else if (const auto* request = std::get_if<RequestPlan>(&action)) {
      requests_.push_back(*request);
    }
  }
}

void CoreHarness::Pass(absl::Duration time, const std::vector<SessionId>& alive) {
  v1::MemberMessage beat;
  beat.mutable_heartbeat();
  for (absl::Duration left = time; left > absl::ZeroDuration();) {
    const absl::Duration step = std::min(left, absl::Milliseconds(100));
    Advance(step);
    left -= step;
    for (const SessionId session : alive) Say(session, beat);
    Apply(Tick{});
  }
}

JobSpec CoreHarness::Spec(int32_t workers, int32_t servers, int64_t steps) {
  JobSpec spec;
  spec.data.path = "data";
  spec.model.vocabulary = 257;
  spec.workers = workers;
  spec.attention.dedicated = servers;
  spec.training.steps = steps;
  return spec;
}

void CoreHarness::Submit(const std::string& id, const JobSpec& spec) {
  Apply(SubmitJob{1, id, spec});
}

absl::Status CoreHarness::last_answer() const {
  for (const Action& action : last) {
    if (const auto* answer = std::get_if<AnswerRequest>(&action)) return answer->answer.status();
  }
  return absl::InternalError("there was no answer");
}

SessionId CoreHarness::Hello(const std::string& id, v1::MemberRole role, const std::string& host,
                             int64_t process_id) {
  MemberHello hello;
  hello.session = ++last_session_;
  hello.hello.set_member_id(id);
  hello.hello.set_role(role);
  hello.hello.set_host(host);
  hello.hello.set_process_id(process_id);
  ids_[last_session_] = id;
  Apply(hello);
  return last_session_;
}

void CoreHarness::Lose(SessionId session) {
  Apply(MemberLost{session, ids_.at(session), "its session ended"});
}

void CoreHarness::Say(SessionId session, const v1::MemberMessage& message) {
  Apply(MemberSaid{session, ids_.at(session), message});
}

void CoreHarness::SayPrepared(SessionId session, const std::string& job, uint32_t epoch) {
  v1::MemberMessage message;
  *message.mutable_prepared()->mutable_job() = Epoch(job, epoch);
  message.mutable_prepared()->set_transport_address(ids_.at(session));
  Say(session, message);
}

void CoreHarness::SayReady(SessionId session, const std::string& job, uint32_t epoch,
                           int64_t step) {
  v1::MemberMessage message;
  *message.mutable_ready()->mutable_job() = Epoch(job, epoch);
  message.mutable_ready()->set_step(step);
  Say(session, message);
}

void CoreHarness::SayRoundDone(SessionId session, const std::string& job, uint32_t epoch,
                               int64_t round, double loss) {
  v1::MemberMessage message;
  *message.mutable_round_done()->mutable_job() = Epoch(job, epoch);
  message.mutable_round_done()->set_round(round);
  message.mutable_round_done()->set_loss(loss);
  Say(session, message);
}

void CoreHarness::SayAttentionDone(SessionId session, const std::string& job, uint32_t epoch,
                                   int64_t round, absl::Duration compute, int64_t pairs) {
  v1::MemberMessage message;
  *message.mutable_round_done()->mutable_job() = Epoch(job, epoch);
  message.mutable_round_done()->set_round(round);
  *message.mutable_round_done()->mutable_attention_compute() = ToProto(compute);
  message.mutable_round_done()->set_attention_pairs(pairs);
  Say(session, message);
}

void CoreHarness::SayCommitted(SessionId session, const std::string& job, uint32_t epoch,
                               int64_t round) {
  v1::MemberMessage message;
  *message.mutable_committed()->mutable_job() = Epoch(job, epoch);
  message.mutable_committed()->set_round(round);
  Say(session, message);
}

void CoreHarness::SayCheckpoint(SessionId session, const std::string& job, uint32_t epoch,
                                int64_t step, const absl::Status& status) {
  v1::MemberMessage message;
  v1::CheckpointWritten* written = message.mutable_checkpoint_written();
  *written->mutable_job() = Epoch(job, epoch);
  written->set_step(step);
  written->set_directory("checkpoints/step-" + std::to_string(step));
  written->set_code(status.raw_code());
  written->set_message(std::string(status.message()));
  Say(session, message);
}

void CoreHarness::SayFailed(SessionId session, const std::string& job, uint32_t epoch,
                            absl::Status status) {
  v1::MemberMessage message;
  *message.mutable_failed()->mutable_job() = Epoch(job, epoch);
  message.mutable_failed()->set_code(static_cast<int>(status.code()));
  message.mutable_failed()->set_message(std::string(status.message()));
  Say(session, message);
}

void CoreHarness::SayReleased(SessionId session, const std::string& job, uint32_t epoch) {
  v1::MemberMessage message;
  *message.mutable_released()->mutable_job() = Epoch(job, epoch);
  Say(session, message);
}

bool CoreHarness::AnswerPlan() {
  if (requests_.empty()) return false;
  const RequestPlan request = requests_.front();
  requests_.erase(requests_.begin());
  PlannedRound planned;
  planned.key = request.key;
  auto plan = std::make_shared<v1::Plan>();
  plan->set_round(request.key.round);
  plan->set_step(request.key.step);
  plan->set_kind(request.key.kind == PlanKind::kTrain ? v1::PLAN_KIND_TRAIN
                                                      : v1::PLAN_KIND_VALIDATE);
  planned.plan = std::move(plan);
  planned.position = request.position;
  planned.next_position = {0, request.position.index + 1, 0};
  planned.tokens = 100;
  Apply(PlanReady{request.job_id, request.epoch, std::move(planned)});
  return true;
}

void CoreHarness::Start(const std::vector<SessionId>& sessions, const std::string& job,
                        uint32_t epoch, int64_t step) {
  for (SessionId session : sessions) SayPrepared(session, job, epoch);
  for (SessionId session : sessions) SayReady(session, job, epoch, step);
}

std::vector<v1::CoordinatorMessage> CoreHarness::Sent(
    SessionId session, v1::CoordinatorMessage::MessageCase kind) const {
  std::vector<v1::CoordinatorMessage> messages;
  const auto found = sent_.find(session);
  if (found == sent_.end()) return messages;
  for (const v1::CoordinatorMessage& message : found->second) {
    if (message.message_case() == kind) messages.push_back(message);
  }
  return messages;
}

}  // namespace rally
