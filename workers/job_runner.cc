#include "workers/job_runner.h"

#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/log.h"
#include "common/status_macros.h"
#include "proto/job_epoch.h"
#include "proto/wire_text.h"
#include "workers/attention/watched_kernel.h"

namespace rally {
namespace {

// The coordinator has at most a handful of messages under way to a member.
constexpr size_t kMostCommands = 256;

MemberResources Completed(MemberResources resources, Outbox* outbox, AttentionKernel* watched) {
  resources.outbox = outbox;
  if (watched != nullptr) resources.kernel = watched;
  return resources;
}

// A round that is over is not computed again: what makes its plan large is not kept.
v1::RoundRecord WithoutWork(v1::RoundRecord record) {
  record.mutable_plan()->clear_micro_batches();
  return record;
}

}  // namespace

std::string JobRunner::Name(const v1::JobEpoch& epoch) {
  return absl::StrCat("job ", epoch.job_id(), ", epoch ", epoch.epoch());
}

JobRunner::JobRunner(v1::MemberRole role, const MemberResources& resources, Outbox* outbox)
    : role_(role),
      outbox_(*outbox),
      commands_(kMostCommands),
      watched_kernel_(Watched(resources.kernel)),
      resources_(Completed(resources, outbox, watched_kernel_.get())),
      thread_([this] { Run(); }) {}

JobRunner::~JobRunner() { Stop(absl::CancelledError("the member stops"), absl::InfiniteFuture()); }

void JobRunner::Handle(const v1::CoordinatorMessage& message) {
  switch (message.message_case()) {
    case v1::CoordinatorMessage::kPrepare:
      return TakeHold(message);
    case v1::CoordinatorMessage::kRelease:
      return BeginRelease(message);
    case v1::CoordinatorMessage::kRegroup:
      return ChangePool(message);
    case v1::CoordinatorMessage::kConnect:
    case v1::CoordinatorMessage::kPlan:
    case v1::CoordinatorMessage::kCommit:
      if (const std::optional<Held> held = Current(EpochOf(message))) Enqueue(message, *held);
      return;
    default:
      return;  // Welcome is the session's; what a newer coordinator may say is ignored.
  }
}

std::optional<JobRunner::Held> JobRunner::Current(const v1::JobEpoch& epoch) const {
  absl::MutexLock lock(&mutex_);
  if (held_.has_value() && SameEpoch(held_->epoch, epoch)) return held_;
  return std::nullopt;
}

void JobRunner::Enqueue(const v1::CoordinatorMessage& message, const Held& held) {
  if (commands_.Push({message, held}, absl::Now()) || commands_.closed()) return;
  held.Abort(absl::ResourceExhaustedError("the coordinator does not wait for answers"));
}

void JobRunner::TakeHold(const v1::CoordinatorMessage& message) {
  const v1::JobEpoch& epoch = message.prepare().job();
  if (Current(epoch).has_value()) return;  // A repeat.
  const Held held = {epoch, message.prepare().rank(), std::make_shared<AbortSwitch>(),
                     std::make_shared<AbortSwitch>()};
  {
    absl::MutexLock lock(&mutex_);
    if (held_.has_value()) {
      held_->Abort(absl::CancelledError(absl::StrCat(Name(epoch), " takes over")));
    }
    held_ = held;
    outbox_.SetJob(epoch);
  }
  Enqueue(message, held);
}

void JobRunner::BeginRelease(const v1::CoordinatorMessage& message) {
  const v1::Release& release = message.release();
  const std::optional<Held> held = Current(release.job());
  if (!held.has_value()) {
    v1::MemberMessage answer;
    *answer.mutable_released()->mutable_job() = release.job();
    return Say(std::move(answer));
  }
  if (release.abort()) {
    held->Abort(absl::CancelledError(absl::StrCat("released: ", release.reason())));
  }
  Enqueue(message, *held);
}

std::optional<v1::JobEpoch> JobRunner::held() const {
  absl::MutexLock lock(&mutex_);
  if (!held_.has_value()) return std::nullopt;
  return held_->epoch;
}

int32_t JobRunner::held_rank() const {
  absl::MutexLock lock(&mutex_);
  return held_.has_value() ? held_->rank : 0;
}

bool JobRunner::AwaitIdle(absl::Time deadline) const {
  absl::MutexLock lock(&mutex_);
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !held_.has_value(); };
  return mutex_.AwaitWithDeadline(absl::Condition(&idle), deadline);
}

bool JobRunner::Stop(const absl::Status& reason, absl::Time deadline) {
  if (!thread_.joinable()) return true;
  commands_.Close();
  {
    absl::MutexLock lock(&mutex_);
    if (held_.has_value()) held_->Abort(reason);
    if (!mutex_.AwaitWithDeadline(absl::Condition(&finished_), deadline)) return false;
  }
  thread_.join();
  return true;
}

void JobRunner::Run() {
  while (true) {
    const std::optional<Command> command = NextCommand(absl::InfiniteFuture());
    if (command.has_value()) {
      Execute(*command);
    } else if (commands_.closed()) {
      break;
    }
  }
  DropMember();
  absl::MutexLock lock(&mutex_);
  finished_ = true;
}

std::optional<JobRunner::Command> JobRunner::NextCommand(absl::Time deadline) {
  if (put_back_.empty()) return commands_.Pop(deadline);
  std::optional<Command> command = std::move(put_back_.front());
  put_back_.pop_front();
  return command;
}

// An epoch that was stopped or has failed waits for its Release.
bool JobRunner::Ignores(const Command& command) const {
  // What belongs to a pool that has changed again comes anew.
  const bool of_pool = command.message.has_connect() || command.message.has_plan();
  if (of_pool && !command.held.pool->status().ok()) return true;
  return abort_ != command.held.abort || !abort_->status().ok() || failure_.has_value();
}

void JobRunner::Execute(const Command& command) {
  const v1::CoordinatorMessage& message = command.message;
  if (message.has_release()) return LetGo(command);
  if (message.has_prepare()) {
    DropMember();  // What a newer epoch has superseded.
    epoch_ = message.prepare().job();
    abort_ = command.held.abort;
  }
  if (message.has_regroup() && abort_ == command.held.abort) {
    epoch_.set_epoch(message.regroup().epoch());
    if (failure_.has_value()) SayFailed();  // Whoever changes the pool has not heard of it.
  }
  if (Ignores(command)) return;
  absl::Status status;
  if (message.has_prepare()) {
    status = Begin(command);
  } else if (member_ == nullptr) {
    return;
  } else if (message.has_regroup()) {
    status = Regroup(command, StandingBetweenRounds());
  } else if (message.has_connect()) {
    status = Connect(command);
  } else if (message.has_plan()) {
    plans_.push_back(message.plan());
  } else if (message.has_commit()) {
    status = Commit(message.commit());
  }
  if (status.ok()) status = RunReadyPlans();
  if (!status.ok()) Fail(status);
}

absl::Status JobRunner::Begin(const Command& command) {
  const v1::Prepare& prepare = command.message.prepare();
  RALLY_ASSIGN_OR_RETURN(JobAssignment assignment, ReadAssignment(prepare, role_));
  RALLY_LOG_INFO("{}: rank {} of {}", Name(epoch_), prepare.rank(), prepare.ranks());
  const auto make = assignment.spec.paced.enabled()  ? MakePacedMember
                    : role_ == v1::MEMBER_ROLE_MODEL ? MakeModelMember
                                                     : MakeAttentionMember;
  member_ = make(resources_, std::move(assignment), {abort_.get(), command.held.pool}, this);
  RALLY_ASSIGN_OR_RETURN(v1::Prepared prepared, member_->Prepare());
  v1::MemberMessage answer;
  *answer.mutable_prepared() = std::move(prepared);
  Say(std::move(answer));
  return absl::OkStatus();
}

absl::Status JobRunner::Connect(const Command& command) {
  absl::StatusOr<v1::Ready> connected = member_->Connect(command.message.connect());
  // A Regroup that overtakes it brings another Connect.
  if (!connected.ok() && absl::IsAborted(command.held.pool->status())) return absl::OkStatus();
  if (!connected.ok() && connected_ && StatusIsOfPool(connected.status())) {
    MissPool(command, connected.status());
    return absl::OkStatus();
  }
  RALLY_ASSIGN_OR_RETURN(v1::Ready ready, std::move(connected));
  if (!connected_) ready_ = ready;
  connected_ = true;
  v1::MemberMessage answer;
  *answer.mutable_ready() = std::move(ready);
  Say(std::move(answer));
  return absl::OkStatus();
}

absl::Status JobRunner::RunReadyPlans() {
  while (!awaited_commit_.has_value() && !plans_.empty() && abort_->status().ok()) {
    const v1::PlanMessage plan = std::move(plans_.front());
    plans_.pop_front();
    if (plan.plan().round() < member_->next_round() && role_ == v1::MEMBER_ROLE_MODEL) continue;
    *current_.mutable_plan() = plan.plan();
    absl::StatusOr<v1::RoundDone> done = member_->RunRound(plan);
    if (!done.ok() && role_ == v1::MEMBER_ROLE_ATTENTION && StatusIsOfPool(done.status())) {
      // What it was at is computed again, by whoever is in the pool then.
      if (!absl::IsAborted(done.status())) SayTrouble(done.status().message(), /*failed=*/true);
      plans_.clear();
      return absl::OkStatus();
    }
    RALLY_RETURN_IF_ERROR(done.status());
    *current_.mutable_done() = *done;
    if (member_->AwaitsCommit()) {
      awaited_commit_ = done->round();
    } else {
      validated_ = WithoutWork(std::exchange(current_, {}));
    }
    v1::MemberMessage answer;
    *answer.mutable_round_done() = *std::move(done);
    Say(std::move(answer));
  }
  return absl::OkStatus();
}

absl::Status JobRunner::Commit(const v1::Commit& commit) {
  if (awaited_commit_ != commit.round()) return absl::OkStatus();  // Of an earlier round.
  RALLY_ASSIGN_OR_RETURN(v1::Committed committed, member_->Commit(commit.checkpoint()));
  awaited_commit_.reset();
  committed.set_round(commit.round());
  *current_.mutable_committed() = committed;
  last_ = WithoutWork(std::exchange(current_, {}));
  v1::MemberMessage answer;
  *answer.mutable_committed() = std::move(committed);
  Say(std::move(answer));
  return absl::OkStatus();
}

v1::MemberFailed JobRunner::LogFailure(const v1::JobEpoch& epoch, const absl::Status& status) {
  RALLY_LOG_ERROR("{}: {}: {}", Name(epoch), absl::StatusCodeToString(status.code()),
                  std::string(status.message()));
  v1::MemberFailed failure;
  *failure.mutable_job() = epoch;
  failure.set_code(static_cast<int32_t>(status.code()));
  failure.set_message(WireText(status.message(), kLongestReason));
  return failure;
}

// Reports the first error of an epoch. Errors that follow from stopping it are none.
void JobRunner::Fail(const absl::Status& status) {
  if (!abort_->status().ok()) return;
  plans_.clear();
  // Keeps this member from doing more. What other members wait for stays open until the Release, so
  // that they do not report this failure's consequences before it is dealt with.
  failure_ = LogFailure(epoch_, status);
  SayFailed();
}

void JobRunner::SayFailed() {
  v1::MemberMessage message;
  *message.mutable_failed() = *failure_;
  Say(std::move(message));
}

std::unique_ptr<AttentionKernel> JobRunner::Watched(AttentionKernel* kernel) {
  if (role_ != v1::MEMBER_ROLE_ATTENTION) return nullptr;
  return MakeWatchedKernel(kernel, {},
                           [this](const absl::Status& late) { ReportLateKernel(late); });
}

// The thread may yet return; the coordinator does without it until its Released.
void JobRunner::ReportLateKernel(const absl::Status& late) {
  const std::optional<v1::JobEpoch> epoch = held();
  if (!epoch.has_value()) return;
  v1::MemberMessage message;
  *message.mutable_failed() = LogFailure(*epoch, late);
  Put(std::move(message));
}

void JobRunner::DropMember() {
  member_.reset();
  plans_.clear();
  awaited_commit_.reset();
  connected_ = false;
  ready_.Clear();
  current_.Clear();
  last_.Clear();
  validated_.Clear();
  failure_.reset();
}

void JobRunner::LetGo(const Command& release) {
  const v1::JobEpoch& epoch = release.message.release().job();
  if (abort_ == release.held.abort) {
    DropMember();
    RALLY_LOG_INFO("{}: released", Name(epoch_));
  }
  v1::MemberMessage message;
  *message.mutable_released()->mutable_job() = epoch;
  absl::MutexLock lock(&mutex_);  // Whoever has seen the answer sees the member idle.
  Say(std::move(message));
  if (!held_.has_value() || !SameEpoch(held_->epoch, epoch)) return;
  held_.reset();
  outbox_.SetJob(std::nullopt);
}

// Puts the epoch that the thread works on into the message, if it has a place for one.
void JobRunner::Say(v1::MemberMessage message) {
  switch (message.message_case()) {
    case v1::MemberMessage::kPrepared:
      *message.mutable_prepared()->mutable_job() = epoch_;
      break;
    case v1::MemberMessage::kReady:
      *message.mutable_ready()->mutable_job() = epoch_;
      break;
    case v1::MemberMessage::kRoundDone:
      *message.mutable_round_done()->mutable_job() = epoch_;
      break;
    case v1::MemberMessage::kCommitted:
      *message.mutable_committed()->mutable_job() = epoch_;
      break;
    case v1::MemberMessage::kFailed:
      *message.mutable_failed()->mutable_job() = epoch_;
      break;
    case v1::MemberMessage::kTrouble:
      *message.mutable_trouble()->mutable_job() = epoch_;
      break;
    default:
      break;  // Released names its own.
  }
  Put(std::move(message));
}

void JobRunner::Put(v1::MemberMessage message) {
  if (!outbox_.Put(std::move(message))) RALLY_LOG_WARN("the outbox is full or closed");
}

}  // namespace rally
