#include "tests/services/scripted_member.h"

#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "proto/convert.h"
#include "scheduler/check_plan.h"

namespace rally {
namespace {

constexpr absl::Duration kBeat = absl::Milliseconds(100);
constexpr absl::Duration kBackOff = absl::Milliseconds(50);

}  // namespace

ScriptedMember::ScriptedMember(const std::string& coordinator, Script script, ScriptedDisk* disk)
    : script_(std::move(script)), disk_(disk) {
  stub_ = v1::ClusterService::NewStub(
      grpc::CreateChannel(coordinator, grpc::InsecureChannelCredentials()));
  session_ = std::thread([this] { Run(); });
  heart_ = std::thread([this] { Beat(); });
}

ScriptedMember::~ScriptedMember() {
  stop_.Notify();
  {
    absl::MutexLock lock(&write_mutex_);
    if (context_ != nullptr) context_->TryCancel();
  }
  session_.join();
  heart_.join();
}

void ScriptedMember::Run() {
  while (!stop_.HasBeenNotified()) {
    RunSession();
    stop_.WaitForNotificationWithTimeout(kBackOff);
  }
}

void ScriptedMember::RunSession() {
  grpc::ClientContext context;
  context.set_wait_for_ready(true);
  context.set_deadline(absl::ToChronoTime(absl::Now() + absl::Minutes(5)));
  {
    absl::MutexLock lock(&write_mutex_);
    context_ = &context;
    if (stop_.HasBeenNotified()) context.TryCancel();
  }
  const std::unique_ptr<Stream> stream = stub_->Session(&context);
  v1::MemberMessage hello;
  hello.mutable_hello()->set_member_id(script_.id);
  hello.mutable_hello()->set_role(script_.role);
  hello.mutable_hello()->set_host(script_.host);
  {
    absl::MutexLock state(&state_mutex_);
    if (!job_.job_id().empty()) *hello.mutable_hello()->mutable_current() = job_;
    absl::MutexLock lock(&write_mutex_);
    stream_ = stream.get();
    stream->Write(hello);
  }
  v1::CoordinatorMessage message;
  while (stream->Read(&message) && Handle(message)) {
  }
  context.TryCancel();
  {
    absl::MutexLock lock(&write_mutex_);
    stream_ = nullptr;
    context_ = nullptr;
  }
  stream->Finish();
}

void ScriptedMember::Beat() {
  v1::MemberMessage beat;
  beat.mutable_heartbeat();
  while (!stop_.WaitForNotificationWithTimeout(kBeat)) Write(beat);
}

bool ScriptedMember::Write(const v1::MemberMessage& message) {
  absl::MutexLock lock(&write_mutex_);
  return stream_ != nullptr && stream_->Write(message);
}

bool ScriptedMember::Handle(const v1::CoordinatorMessage& message) {
  absl::MutexLock lock(&state_mutex_);
  switch (message.message_case()) {
    case v1::CoordinatorMessage::kPrepare:
      return OnPrepare(message.prepare());
    case v1::CoordinatorMessage::kConnect: {
      v1::MemberMessage ready;
      *ready.mutable_ready()->mutable_job() = job_;
      ready.mutable_ready()->set_step(position_.step);
      *ready.mutable_ready()->mutable_position() = ToProto(position_.position);
      return Write(ready);
    }
    case v1::CoordinatorMessage::kPlan:
      return OnPlan(message.plan());
    case v1::CoordinatorMessage::kCommit:
      return OnCommit(message.commit());
    case v1::CoordinatorMessage::kRelease: {
      v1::MemberMessage released;
      *released.mutable_released()->mutable_job() = message.release().job();
      plans_.clear();
      job_.Clear();
      return Write(released);
    }
    default:
      return true;  // Welcome.
  }
}

bool ScriptedMember::OnPrepare(const v1::Prepare& prepare) {
  if (!job_.job_id().empty()) Violate("prepare for a member that holds a job");
  const absl::StatusOr<JobSpec> spec = FromProto(prepare.spec());
  if (!spec.ok()) Violate(std::string(spec.status().message()));
  if (prepare.spec().model().vocabulary() == 0) Violate("the vocabulary is not set");
  job_ = prepare.job();
  rank_ = prepare.rank();
  workers_ = prepare.spec().workers();
  total_steps_ = prepare.spec().training().steps();
  next_round_ = 0;
  plans_.clear();
  awaits_commit_ = false;
  ++prepares_;
  restores_ = prepare.restore();
  position_ = restores_ ? disk_->Load() : ScriptedDisk::Checkpoint{};
  v1::MemberMessage prepared;
  *prepared.mutable_prepared()->mutable_job() = job_;
  prepared.mutable_prepared()->set_transport_address(script_.id);
  if (rank_ == 0) prepared.mutable_prepared()->set_rendezvous("localhost:1");
  v1::MemberMessage logs;
  *logs.mutable_logs()->mutable_job() = job_;
  v1::LogEntry* entry = logs.mutable_logs()->add_entries();
  entry->set_severity("info");
  entry->set_text(absl::StrCat("rank ", rank_, " prepared"));
  return Write(logs) && Write(prepared);
}

bool ScriptedMember::OnPlan(const v1::PlanMessage& message) {
  absl::StatusOr<Plan> plan = FromProto(message.plan());
  if (!plan.ok()) {
    Violate(std::string(plan.status().message()));
    return false;
  }
  const absl::Status checked = CheckPlan(*plan, AttentionMask{});
  if (!checked.ok()) Violate(std::string(checked.message()));
  if (plan->round != next_round_++) Violate("plans out of order");
  plans_.push_back(*std::move(plan));
  if (plans_.size() > 2) Violate("more than one plan ahead");
  if (plans_.back().step == script_.die_at_step && !died_) {
    died_ = true;
    job_.Clear();
    return false;
  }
  return Work();
}

bool ScriptedMember::Work() {
  if (plans_.empty() || awaits_commit_) return true;
  const Plan& plan = plans_.front();
  if (plan.step == script_.fail_at_step && !failed_) {
    failed_ = true;
    v1::MemberMessage failed;
    *failed.mutable_failed()->mutable_job() = job_;
    failed.mutable_failed()->set_code(static_cast<int>(script_.failure.code()));
    failed.mutable_failed()->set_message(std::string(script_.failure.message()));
    return Write(failed);
  }
  if (script_.pause_after_step.has_value() && plan.step > *script_.pause_after_step && !resumed_) {
    paused_ = true;
    return true;
  }
  v1::MemberMessage done;
  v1::RoundDone* round = done.mutable_round_done();
  *round->mutable_job() = job_;
  round->set_round(plan.round);
  round->set_loss(1.0 / static_cast<double>(plan.step));
  round->set_bytes_sent(100);
  awaits_commit_ = plan.kind == PlanKind::kTrain && rank_ < workers_;
  if (!awaits_commit_) plans_.pop_front();
  return Write(done) && Work();
}

bool ScriptedMember::OnCommit(const v1::Commit& commit) {
  if (!awaits_commit_ || plans_.empty() || plans_.front().round != commit.round()) {
    Violate("commit of a round that is not in work");
    return false;
  }
  const Plan plan = std::move(plans_.front());
  plans_.pop_front();
  awaits_commit_ = false;
  position_ = {plan.step, plan.next_position};
  v1::MemberMessage message;
  v1::Committed* committed = message.mutable_committed();
  *committed->mutable_job() = job_;
  committed->set_round(plan.round);
  committed->set_step(plan.step);
  if (commit.checkpoint()) disk_->Save(position_);
  if (plan.step == total_steps_) committed->set_weights_checksum("00c0ffee00c0ffee");
  if (!Write(message)) return false;
  if (commit.checkpoint() && rank_ == 0) {
    v1::MemberMessage saved;
    v1::CheckpointWritten* written = saved.mutable_checkpoint_written();
    *written->mutable_job() = job_;
    written->set_step(plan.step);
    written->set_directory(absl::StrCat("checkpoints/step-", plan.step));
    if (!Write(saved)) return false;
  }
  return Work();
}

void ScriptedMember::Violate(const std::string& what) {
  if (violation_.ok()) violation_ = absl::InternalError(absl::StrCat(script_.id, ": ", what));
}

void ScriptedMember::Leave() {
  v1::MemberMessage leaving;
  leaving.mutable_leaving();
  Write(leaving);
}

void ScriptedMember::Resume() {
  absl::MutexLock lock(&state_mutex_);
  resumed_ = true;
  if (paused_) Work();
}

bool ScriptedMember::WaitPaused(absl::Time deadline) {
  absl::MutexLock lock(&state_mutex_);
  return state_mutex_.AwaitWithDeadline(absl::Condition(&paused_), deadline);
}

bool ScriptedMember::WaitIdle(absl::Time deadline) {
  absl::MutexLock lock(&state_mutex_);
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(state_mutex_) {
    return job_.job_id().empty();
  };
  return state_mutex_.AwaitWithDeadline(absl::Condition(&idle), deadline);
}

absl::Status ScriptedMember::violation() const {
  absl::MutexLock lock(&state_mutex_);
  return violation_;
}

int ScriptedMember::prepares() const {
  absl::MutexLock lock(&state_mutex_);
  return prepares_;
}

bool ScriptedMember::last_prepare_restores() const {
  absl::MutexLock lock(&state_mutex_);
  return restores_;
}

}  // namespace rally
