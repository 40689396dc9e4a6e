#include "tests/simulation/member_runner.h"

#include <limits>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "tests/simulation/message_text.h"

namespace rally::simulation {
namespace {

constexpr absl::Duration kMeetingTimeout = absl::Seconds(10);
constexpr int64_t kConnecting = -1;  // As a round.

const v1::JobEpoch& EpochOf(const v1::CoordinatorMessage& message) {
  switch (message.message_case()) {
    case v1::CoordinatorMessage::kPrepare:
      return message.prepare().job();
    case v1::CoordinatorMessage::kConnect:
      return message.connect().job();
    case v1::CoordinatorMessage::kPlan:
      return message.plan().job();
    case v1::CoordinatorMessage::kCommit:
      return message.commit().job();
    default:
      return message.release().job();
  }
}

bool SameEpoch(const v1::JobEpoch& a, const v1::JobEpoch& b) {
  return a.job_id() == b.job_id() && a.epoch() == b.epoch();
}

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
  held_ = std::make_shared<Held>(Held{epoch});
  Enqueue(message, held_);
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

// Wakes the thread from what it waits for.
void MemberRunner::Abort(Held* held) {
  held->aborted = true;
  if (held != working_.get() || !meeting_.has_value()) return;
  LeaveMeeting();
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
  Execute(command);
}

void MemberRunner::Finish() {
  busy_ = false;
  Next();
}

void MemberRunner::Execute(const Command& command) {
  const v1::CoordinatorMessage& message = command.message;
  if (message.has_release()) return LetGo(message.release().job());
  if (message.has_prepare()) {
    DropMember();
    working_ = command.held;
    assignment_ = message.prepare();
  }
  if (working_ != command.held || working_->aborted || failed_) return Finish();
  if (message.has_prepare()) {
    process_.After(Work(absl::Milliseconds(100)), [this] { Begin(); });
  } else if (message.has_connect()) {
    Connect();
  } else if (message.has_plan()) {
    plans_.push_back(message.plan().plan());
    RunReadyPlans();
  } else {
    Commit(message.commit());
  }
}

void MemberRunner::Begin() {
  if (absl::Status status = Accident(); !status.ok()) return Fail(status);
  prepared_ = true;
  v1::MemberMessage answer;
  *answer.mutable_prepared()->mutable_job() = working_->epoch;
  answer.mutable_prepared()->set_transport_address(setup_.name);
  setup_.say(std::move(answer));
  Finish();
}

void MemberRunner::Connect() {
  if (!prepared_ || connected_) return Fail(absl::InternalError("connect came out of its order"));
  if (!is_worker()) {
    process_.After(Work(absl::Milliseconds(30)), [this] { BecomeReady(); });
    return;
  }
  Meet(kConnecting, assignment_.spec().workers(),
       [this] { process_.After(DiskTime(), [this] { BecomeReady(); }); });
}

void MemberRunner::BecomeReady() {
  if (absl::Status status = Accident(); !status.ok()) return Fail(status);
  connected_ = true;
  v1::MemberMessage answer;
  v1::Ready* ready = answer.mutable_ready();
  *ready->mutable_job() = working_->epoch;
  if (is_worker()) {
    const std::string& directory = assignment_.spec().checkpoint().directory();
    const bool restore = assignment_.restore() || assignment_.job().epoch() > 1;
    weights_ = restore && !directory.empty() ? setup_.disk->Newest(directory) : JobWeights{};
    ready->set_step(weights_.step);
    ready->mutable_position()->set_index(weights_.position);
    world_.invariants.Stands(working_->epoch, assignment_.rank(), weights_);
  }
  setup_.say(std::move(answer));
  Finish();
}

void MemberRunner::RunReadyPlans() {
  if (awaited_commit_.has_value() || plans_.empty() || working_->aborted) return Finish();
  const v1::Plan& plan = plans_.front();
  if (!connected_ || plan.round() != next_round_) {
    const std::string what = absl::StrCat(setup_.name, " refuses the plan of round ", plan.round(),
                                          " where ", next_round_, " is next");
    world_.invariants.Break(what);
    return Fail(absl::InternalError(what));
  }
  ++next_round_;
  Meet(plan.round(), assignment_.ranks(), [this] { EndRound(); });
}

void MemberRunner::EndRound() {
  if (absl::Status status = Accident(); !status.ok()) return Fail(status);
  const v1::Plan plan = std::move(plans_.front());
  plans_.pop_front();
  v1::MemberMessage answer;
  v1::RoundDone* done = answer.mutable_round_done();
  *done->mutable_job() = working_->epoch;
  done->set_round(plan.round());
  done->set_loss(world_.random.Chance(world_.faults.bad_loss)
                     ? std::numeric_limits<double>::quiet_NaN()
                     : 1.0);
  if (is_worker() && plan.kind() == v1::PLAN_KIND_TRAIN) {
    awaited_commit_ = plan.round();
    reduced_ = weights_.After(working_->epoch.epoch(), plan.step(), plan.next_position().index());
  }
  world_.invariants.RoundDone(working_->epoch, assignment_.rank(), plan.round());
  setup_.say(std::move(answer));
  RunReadyPlans();
}

void MemberRunner::Commit(const v1::Commit& commit) {
  if (!Takes(commit.round())) return Finish();
  awaited_commit_.reset();
  weights_ = reduced_;
  world_.Note(setup_.name, " commits ", TextOf(working_->epoch), " round ", commit.round(),
              " step ", weights_.step);
  world_.invariants.Committed(working_->epoch, assignment_.rank(), commit.round(), weights_);
  v1::Committed committed;
  *committed.mutable_job() = working_->epoch;
  committed.set_round(commit.round());
  committed.set_step(weights_.step);
  if (weights_.step == assignment_.spec().training().steps()) {
    committed.set_weights_checksum(absl::StrFormat("%016x", weights_.chain));
  }
  if (!commit.checkpoint() || assignment_.rank() != 0) return Answer(std::move(committed));
  process_.After(DiskTime(), [this, committed]() mutable {
    const std::string& directory = assignment_.spec().checkpoint().directory();
    if (absl::Status status = Accident(); !status.ok()) return Fail(status);
    setup_.disk->Save(directory, weights_);
    world_.Note(setup_.name, " has written the checkpoint of step ", weights_.step);
    committed.set_checkpoint(absl::StrCat(directory, "/", weights_.step));
    Answer(std::move(committed));
  });
}

void MemberRunner::Answer(v1::Committed committed) {
  v1::MemberMessage answer;
  *answer.mutable_committed() = std::move(committed);
  setup_.say(std::move(answer));
  RunReadyPlans();
}

void MemberRunner::Fail(const absl::Status& status) {
  if (!working_->aborted) {
    v1::MemberMessage message;
    *message.mutable_failed()->mutable_job() = working_->epoch;
    message.mutable_failed()->set_code(static_cast<int32_t>(status.code()));
    message.mutable_failed()->set_message(std::string(status.message()));
    setup_.say(std::move(message));
    plans_.clear();
    failed_ = true;
  }
  Finish();
}

void MemberRunner::DropMember() {
  prepared_ = connected_ = failed_ = false;
  next_round_ = 0;
  plans_.clear();
  awaited_commit_.reset();
  weights_ = {};
}

void MemberRunner::LetGo(const v1::JobEpoch& epoch) {
  if (working_ != nullptr && SameEpoch(working_->epoch, epoch)) DropMember();
  v1::MemberMessage message;
  *message.mutable_released()->mutable_job() = epoch;
  setup_.say(std::move(message));
  if (held_ != nullptr && SameEpoch(held_->epoch, epoch)) held_.reset();
  Finish();
}

// ---- What takes time ----

void MemberRunner::Meet(int64_t round, int32_t ranks, std::function<void()> then) {
  meeting_ = DataPlane::Meeting(working_->epoch.job_id(), working_->epoch.epoch(), round);
  const uint64_t number = ++meetings_;
  process_.After(kMeetingTimeout, [this, number] {
    if (!meeting_.has_value() || number != meetings_) return;
    LeaveMeeting();
    Fail(absl::DeadlineExceededError("the other ranks do not come"));
  });
  setup_.data_plane->Join(*meeting_, assignment_.rank(), ranks, [this, then = std::move(then)] {
    meeting_.reset();
    process_.After(Work(absl::Milliseconds(200)), then);
  });
}

void MemberRunner::LeaveMeeting() {
  if (!meeting_.has_value()) return;
  setup_.data_plane->Leave(*meeting_, assignment_.rank());
  meeting_.reset();
}

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
