#include "tests/simulation/member_runner.h"

#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "proto/job_epoch.h"
#include "tests/simulation/message_text.h"

namespace rally::simulation {
namespace {

constexpr int64_t kConnecting = -1;  // As a meeting's name.

}  // namespace

std::unique_ptr<MemberRunner> MemberRunner::Make(const RunnerSetup& setup) {
  return std::make_unique<MemberRunner>(setup);
}

bool MemberRunner::Concerns(const Held& held, const v1::JobEpoch& epoch) const {
  return SameEpoch(held.epoch, epoch);
}

std::optional<v1::JobEpoch> MemberRunner::held() const {
  if (held_ == nullptr) return std::nullopt;
  return held_->epoch;
}

// ---- On the thread of the session ----

void MemberRunner::Handle(const v1::CoordinatorMessage& message) {
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
      if (held_ != nullptr && Concerns(*held_, EpochOf(message))) Enqueue(message, held_);
      return;
    default:
      return;
  }
}

void MemberRunner::TakeHold(const v1::CoordinatorMessage& message) {
  const v1::JobEpoch& epoch = message.prepare().job();
  if (held_ != nullptr && SameEpoch(held_->epoch, epoch)) return;  // A repeat.
  if (held_ != nullptr) {
    world_.invariants.Break(absl::StrCat(setup_.name, " is given ", TextOf(epoch),
                                         " while it holds ", TextOf(held_->epoch)));
    Abort(held_.get());
  }
  held_ = std::make_shared<Held>(Held{epoch, message.prepare().rank()});
  Enqueue(message, held_);
}

// The epoch gets another number, and what travels between its members is given up.
void MemberRunner::ChangePool(const v1::CoordinatorMessage& message) {
  const v1::Regroup& regroup = message.regroup();
  if (held_ == nullptr || !Concerns(*held_, regroup.job())) return;
  held_->epoch.set_epoch(regroup.epoch());
  held_->rank = regroup.rank();
  Enqueue(message, held_);
  if (held_ == working_) BreakExchange(absl::AbortedError("the pool changes"));
}

void MemberRunner::BeginRelease(const v1::CoordinatorMessage& message) {
  const v1::Release& release = message.release();
  if (held_ == nullptr || !SameEpoch(held_->epoch, release.job())) {
    v1::MemberMessage answer;
    *answer.mutable_released()->mutable_job() = release.job();
    return setup_.say(std::move(answer));
  }
  const std::shared_ptr<Held> held = held_;
  if (release.abort()) Abort(held.get());
  Enqueue(message, held);
}

// Wakes the thread from what it is blocked in.
void MemberRunner::Abort(Held* held) {
  held->aborted = true;
  if (held != working_.get() || block_ == Block::kNone) return;
  LeaveRound();
  process_.After(world_.random.Between(absl::ZeroDuration(), absl::Milliseconds(20)),
                 [this] { Finish(); });
}

// ---- On the runner's own thread ----

void MemberRunner::Enqueue(const v1::CoordinatorMessage& message, std::shared_ptr<Held> held) {
  commands_.push_back({message, std::move(held)});
  if (!busy_) Next();
}

void MemberRunner::Next() {
  if (busy_ || commands_.empty()) return;
  busy_ = true;
  const Command command = std::move(commands_.front());
  commands_.pop_front();
  if (awaiting_.has_value()) return TakeAwaited(command);
  Execute(command);
}

void MemberRunner::Finish() {
  busy_ = false;
  Next();
}

void MemberRunner::Execute(const Command& command) {
  const v1::CoordinatorMessage& message = command.message;
  if (message.has_release()) return LetGo(command);
  if (message.has_prepare()) {
    DropMember();
    working_ = command.held;
    epoch_ = message.prepare().job();
    assignment_ = message.prepare();
  }
  if (working_ != command.held || working_->aborted || failed_) return Finish();
  if (message.has_prepare()) {
    process_.After(Work(absl::Milliseconds(100)), [this] { Begin(); });
  } else if (message.has_regroup()) {
    Regroup(message.regroup(), StandingBetweenRounds());
  } else if (message.has_connect()) {
    Connect(message.connect());
  } else if (message.has_plan()) {
    plans_.push_back(message.plan());
    RunReadyPlans();
  } else {
    Commit(message.commit());
  }
}

void MemberRunner::Begin() {
  if (absl::Status status = Accident(); !status.ok()) return Fail(status);
  const std::string& directory = assignment_.spec().checkpoint().directory();
  if (is_worker() && assignment_.rank() == 0 && !Restores(assignment_) &&
      setup_.disk->Newest(directory).step > 0) {
    return Fail(absl::FailedPreconditionError("there are checkpoints of another job"));
  }
  prepared_ = true;
  v1::MemberMessage answer;
  *answer.mutable_prepared()->mutable_job() = epoch_;
  answer.mutable_prepared()->set_transport_address(setup_.name);
  setup_.say(std::move(answer));
  Finish();
}

void MemberRunner::Regroup(const v1::Regroup& regroup, const v1::Standing& standing) {
  epoch_.set_epoch(regroup.epoch());
  assignment_.set_rank(regroup.rank());
  assignment_.set_ranks(regroup.ranks());
  plans_.clear();
  in_pool_ = false;
  if (awaiting_.has_value()) awaiting_->regrouped = true;
  process_.After(Work(absl::Milliseconds(50)), [this, standing, report = regroup.report()] {
    if (absl::Status status = Accident(); !status.ok()) return Fail(status);
    v1::MemberMessage answer;
    v1::Prepared* prepared = answer.mutable_prepared();
    *prepared->mutable_job() = epoch_;
    prepared->set_transport_address(setup_.name);
    *prepared->mutable_standing() = standing;
    if (report) AddReport(prepared->mutable_standing());
    setup_.say(std::move(answer));
    Finish();
  });
}

void MemberRunner::Connect(const v1::Connect& connect) {
  if (!prepared_ || in_pool_ || connect.transport_addresses_size() != assignment_.ranks()) {
    world_.invariants.Break(absl::StrCat(setup_.name, " is told to connect out of its order"));
    return Fail(absl::InternalError("connect came out of its order"));
  }
  if (!is_worker() || connected_) {
    process_.After(Work(absl::Milliseconds(30)), [this] { BecomeReady(); });
    return;
  }
  Meet(Block::kConnecting, kConnecting, workers(),
       [this] { process_.After(DiskTime(), [this] { BecomeReady(); }); });
}

void MemberRunner::BecomeReady() {
  if (absl::Status status = Accident(); !status.ok()) return Fail(status);
  v1::MemberMessage answer;
  v1::Ready* ready = answer.mutable_ready();
  *ready->mutable_job() = epoch_;
  if (is_worker() && !connected_) {
    const std::string& directory = assignment_.spec().checkpoint().directory();
    const bool restore = Restores(assignment_) && !directory.empty();
    weights_ = restore ? setup_.disk->Newest(directory) : JobWeights{};
    ready->set_step(weights_.step);
    ready->mutable_position()->set_index(weights_.position);
    ready_ = *ready;
    world_.invariants.Stands(assignment_.job(), assignment_.rank(), weights_);
  }
  connected_ = in_pool_ = true;
  setup_.say(std::move(answer));
  Finish();
}

v1::Standing MemberRunner::StandingBetweenRounds() const {
  v1::Standing standing;
  standing.set_round(awaited_commit_.value_or(next_round_));
  standing.set_begun(awaited_commit_.has_value());
  standing.set_complete(awaited_commit_.has_value());
  return standing;
}

void MemberRunner::AddReport(v1::Standing* standing) const {
  const bool committed = last_.has_committed();
  standing->set_step(committed ? last_.committed().step() : ready_.step());
  *standing->mutable_position() = committed ? last_.plan().next_position() : ready_.position();
  if (current_.has_plan()) *standing->mutable_current() = current_;
  if (committed) *standing->mutable_last() = last_;
  if (validated_.has_done()) *standing->mutable_validated() = validated_;
  if (save_ != nullptr) standing->set_saving(save_->weights.step);
  if (saved_.has_job()) *standing->mutable_saved() = saved_;
}

void MemberRunner::Commit(const v1::Commit& commit) {
  if (!Takes(commit.round())) return Finish();
  awaited_commit_.reset();
  weights_ = reduced_;
  world_.Note(setup_.name, " commits ", TextOf(epoch_), " round ", commit.round(), " step ",
              weights_.step);
  world_.invariants.Committed(assignment_.job(), assignment_.rank(), commit.round(), weights_);
  v1::MemberMessage answer;
  v1::Committed* committed = answer.mutable_committed();
  *committed->mutable_job() = epoch_;
  committed->set_round(commit.round());
  committed->set_step(weights_.step);
  if (commit.checkpoint() && assignment_.rank() == 0) WriteCheckpoint();
  if (weights_.step == assignment_.spec().training().steps()) {
    committed->set_weights_checksum(absl::StrFormat("%016x", weights_.chain));
  }
  *current_.mutable_committed() = *committed;
  last_ = std::exchange(current_, {});
  setup_.say(std::move(answer));
  RunReadyPlans();
}

// One that is still being written gives way.
void MemberRunner::WriteCheckpoint() {
  if (save_ != nullptr) save_->cancelled = true;
  save_ = std::make_shared<Save>(Save{weights_});
  process_.After(DiskTime(), [this, save = save_] {
    if (!save->cancelled) CheckpointDone(*save);
  });
}

void MemberRunner::CheckpointDone(const Save& save) {
  absl::Status status = Accident();
  if (world_.random.Chance(world_.faults.full_disk)) {
    status = absl::ResourceExhaustedError("no space is left");
  }
  const std::string& directory = assignment_.spec().checkpoint().directory();
  if (status.ok()) setup_.disk->Save(directory, save.weights);
  world_.Note(setup_.name, " has written the checkpoint of step ", save.weights.step, ": ",
              status.ToString());
  v1::MemberMessage message;
  v1::CheckpointWritten* written = message.mutable_checkpoint_written();
  *written->mutable_job() = assignment_.job();
  written->set_step(save.weights.step);
  written->set_code(status.raw_code());
  written->set_message(std::string(status.message()));
  if (status.ok()) written->set_directory(absl::StrCat(directory, "/", save.weights.step));
  saved_ = *written;
  save_.reset();
  setup_.say(std::move(message));
}

void MemberRunner::Fail(const absl::Status& status) {
  LeaveRound();
  if (!working_->aborted) {
    v1::MemberMessage message;
    *message.mutable_failed()->mutable_job() = epoch_;
    message.mutable_failed()->set_code(status.raw_code());
    message.mutable_failed()->set_message(std::string(status.message()));
    setup_.say(std::move(message));
    plans_.clear();
    failed_ = true;
  }
  Finish();
}

void MemberRunner::DropMember() {
  prepared_ = connected_ = in_pool_ = failed_ = false;
  next_round_ = 0;
  plans_.clear();
  awaited_commit_.reset();
  weights_ = {};
  ready_.Clear();
  current_.Clear();
  last_.Clear();
  validated_.Clear();
  if (save_ != nullptr) save_->cancelled = true;
  save_.reset();
  saved_.Clear();
}

// In peace it finishes its checkpoint.
void MemberRunner::LetGo(const Command& command) {
  if (working_ == command.held && save_ != nullptr && !working_->aborted) {
    process_.After(absl::Milliseconds(100), [this, command] { LetGo(command); });
    return;
  }
  if (working_ == command.held) DropMember();
  const v1::JobEpoch& epoch = command.message.release().job();
  v1::MemberMessage message;
  *message.mutable_released()->mutable_job() = epoch;
  setup_.say(std::move(message));
  if (held_ != nullptr && SameEpoch(held_->epoch, epoch)) held_.reset();
  Finish();
}

// ---- What takes time ----

absl::Status MemberRunner::Accident() {
  if (world_.random.Chance(world_.faults.user_error)) {
    return absl::InvalidArgumentError("a fault of the user's");
  }
  if (world_.random.Chance(world_.faults.machine_error)) {
    return absl::UnavailableError("a fault of the machine's");
  }
  return absl::OkStatus();
}

absl::Duration MemberRunner::DiskTime() {
  Random& random = world_.random;
  const bool slow = random.Chance(world_.faults.slow_disk);
  return random.Between(absl::Milliseconds(1), slow ? absl::Seconds(8) : absl::Milliseconds(100));
}

absl::Duration MemberRunner::Work(absl::Duration longest) {
  Random& random = world_.random;
  if (random.Chance(world_.faults.stuck_work)) return absl::Minutes(2);
  if (random.Chance(world_.faults.slow_work)) longest *= 40;
  return random.Between(longest * 0.1, longest);
}

}  // namespace rally::simulation
