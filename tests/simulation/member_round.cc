// A member's thread within a round: see member_runner.h.
#include <algorithm>
#include <limits>
#include <utility>

#include <absl/strings/str_cat.h>

#include "tests/simulation/member_runner.h"
#include "tests/simulation/message_text.h"

namespace rally::simulation {
namespace {

constexpr absl::Duration kPhaseTimeout = absl::Seconds(10);
constexpr absl::Duration kLate = absl::Seconds(2);          // When a worker says that it waits.
constexpr absl::Duration kPoolTimeout = absl::Seconds(60);  // For a change that it has asked for.
constexpr int64_t kReductions = int64_t{1} << 32;  // Added to a round: its reduction's name.

// Who has nothing to collect any more.
int32_t CompleteIn(const v1::PlanMessage& message) {
  return static_cast<int32_t>(std::count(message.collected().begin(), message.collected().end(),
                                         std::numeric_limits<int64_t>::max()));
}

}  // namespace

void MemberRunner::RunReadyPlans() {
  while (is_worker() && !plans_.empty() && plans_.front().plan().round() < next_round_) {
    plans_.pop_front();  // Resumed for others.
  }
  if (awaited_commit_.has_value() || plans_.empty() || working_->aborted) return Finish();
  const v1::Plan& plan = plans_.front().plan();
  if (!in_pool_ || (is_worker() && plan.round() != next_round_)) {
    const std::string what = absl::StrCat(setup_.name, " refuses the plan of round ", plan.round(),
                                          " where ", next_round_, " is next");
    world_.invariants.Break(what);
    return Fail(absl::InternalError(what));
  }
  next_round_ = plan.round() + 1;
  *current_.mutable_plan() = plan;
  round_ = Round{std::move(plans_.front())};
  plans_.pop_front();
  Exchange();
}

// All of the pool's members that have a part in it meet, then each collects what is its own.
void MemberRunner::Exchange() {
  block_ = Block::kExchange;
  if (pool_is_broken()) return BreakExchange(absl::AbortedError("the pool changes"));
  Meet(Block::kExchange, round_->message.plan().round(),
       assignment_.ranks() - CompleteIn(round_->message), [this] {
         block_ = Block::kExchange;
         Breakable(Work(absl::Milliseconds(200)), [this] { Collected(); });
       });
}

void MemberRunner::Collected() {
  block_ = Block::kNone;
  round_->complete = true;
  if (!is_worker()) return EndRound();
  Reduce();
}

// Workers only, whatever the pool is.
void MemberRunner::Reduce() {
  Meet(Block::kReduction, kReductions + round_->message.plan().round(), workers(), [this] {
    round_->reduced = true;
    if (!awaiting_.has_value()) Reduced();
  });
}

void MemberRunner::Reduced() {
  process_.After(Work(absl::Milliseconds(50)), [this] { EndRound(); });
}

void MemberRunner::EndRound() {
  if (absl::Status status = Accident(); !status.ok()) return Fail(status);
  const v1::Plan plan = round_->message.plan();
  round_.reset();
  v1::MemberMessage answer;
  v1::RoundDone* done = answer.mutable_round_done();
  *done->mutable_job() = epoch_;
  done->set_round(plan.round());
  done->set_loss(world_.random.Chance(world_.faults.bad_loss)
                     ? std::numeric_limits<double>::quiet_NaN()
                     : 1.0);
  *current_.mutable_done() = *done;
  if (is_worker() && plan.kind() == v1::PLAN_KIND_TRAIN) {
    awaited_commit_ = plan.round();
    reduced_ = weights_.After(assignment_.job().epoch(), plan.step(), plan.next_position().index());
  } else {
    validated_ = std::exchange(current_, {});
  }
  if (is_worker()) {
    world_.invariants.RoundDone(assignment_.job(), assignment_.rank(), plan.round());
  }
  setup_.say(std::move(answer));
  RunReadyPlans();
}

void MemberRunner::LeaveRound() {
  LeaveMeeting();
  round_.reset();
  awaiting_.reset();
}

// The thread is woken from its exchange, or serves the new pool while it waits for the reduction.
void MemberRunner::BreakExchange(const absl::Status& cause) {
  if (block_ != Block::kExchange && block_ != Block::kReduction) return;
  if (block_ == Block::kExchange) {
    LeaveMeeting();
  } else {
    block_ = Block::kNone;  // The meeting goes on.
  }
  if (is_worker()) return AwaitPool(cause);
  round_.reset();
  plans_.clear();
  if (!absl::IsAborted(cause)) SayTrouble(cause.message(), /*failed=*/true);
  process_.After(world_.random.Between(absl::ZeroDuration(), absl::Milliseconds(20)),
                 [this] { Finish(); });
}

void MemberRunner::AwaitPool(const absl::Status& cause) {
  if (!absl::IsAborted(cause)) SayTrouble(cause.message(), /*failed=*/true);
  awaiting_ = Await{cause};
  process_.After(kPoolTimeout, [this, number = ++awaits_, cause] {
    if (awaiting_.has_value() && number == awaits_ && !awaiting_->regrouped && !busy_) {
      Fail(cause);
    }
  });
  process_.After(world_.random.Between(absl::ZeroDuration(), absl::Milliseconds(20)),
                 [this] { Finish(); });
}

void MemberRunner::TakeAwaited(const Command& command) {
  const v1::CoordinatorMessage& message = command.message;
  const int64_t round = round_->message.plan().round();
  if (working_->aborted || message.has_release() || message.has_prepare()) {
    commands_.push_front(command);
    return Fail(absl::CancelledError("the epoch has ended"));
  }
  if (working_ != command.held) return Finish();
  if (message.has_regroup()) {
    v1::Standing standing;
    standing.set_round(round);
    standing.set_begun(true);
    standing.set_collected(round_->complete ? 7 : 3);
    standing.set_complete(round_->complete);
    return Regroup(message.regroup(), standing);
  }
  if (!awaiting_->regrouped) return Finish();
  if (message.has_connect()) {
    const v1::Connect& connect = message.connect();
    const bool resumes = connect.has_resumed_round() && connect.resumed_round() == round;
    if (resumes || pool_is_broken()) return Connect(connect);
    // Nothing more is needed of the pool: on with what this round still waits for.
    if (!round_->complete) {
      const std::string what = absl::StrCat(setup_.name, " has begun round ", round,
                                            ", which is not resumed in ", TextOf(epoch_));
      world_.invariants.Break(what);
      return Fail(absl::InternalError(what));
    }
    connected_ = in_pool_ = true;
    return GoOn();
  }
  if (message.has_plan() && message.plan().plan().round() == round) {
    round_->message = message.plan();
    *current_.mutable_plan() = message.plan().plan();
    return GoOn();
  }
  Finish();
}

// Back from AwaitPool.
void MemberRunner::GoOn() {
  awaiting_.reset();
  if (!round_->reduction.ok()) return Fail(round_->reduction);
  if (!round_->complete) return Exchange();
  if (round_->reduced) return Reduced();
  block_ = Block::kReduction;
  if (pool_is_broken()) BreakExchange(absl::AbortedError("the pool changes"));
}

// ---- What takes time ----

void MemberRunner::Meet(Block block, int64_t name, int32_t ranks, std::function<void()> then) {
  block_ = block;
  // The pool's meetings are of its epoch, workers' of the run.
  const uint32_t epoch = block == Block::kExchange ? epoch_.epoch() : assignment_.job().epoch();
  meeting_ = DataPlane::Meeting(epoch_.job_id(), epoch, name);
  const uint64_t number = ++meetings_;
  const absl::Duration patience = block == Block::kReduction ? kPoolTimeout : kPhaseTimeout;
  process_.After(kLate, [this, number, block] {
    if (block == Block::kExchange && is_worker() && meeting_.has_value() && number == meetings_) {
      SayTrouble("the others are late", /*failed=*/false);
    }
  });
  process_.After(patience, [this, number] {
    if (meeting_.has_value() && number == meetings_) MissedMeeting();
  });
  setup_.data_plane->Join(*meeting_, assignment_.rank(), ranks, [this, then = std::move(then)] {
    meeting_.reset();
    block_ = Block::kNone;
    then();
  });
}

void MemberRunner::MissedMeeting() {
  const absl::Status status = absl::DeadlineExceededError("the other ranks do not come");
  if (block_ == Block::kExchange) return BreakExchange(status);
  LeaveMeeting();
  if (!awaiting_.has_value()) return Fail(status);
  round_->reduction = status;
}

void MemberRunner::LeaveMeeting() {
  ++breakable_;
  block_ = Block::kNone;
  if (!meeting_.has_value()) return;
  setup_.data_plane->Leave(*meeting_, assignment_.rank());
  meeting_.reset();
}

void MemberRunner::Breakable(absl::Duration time, std::function<void()> deed) {
  process_.After(time, [this, number = ++breakable_, deed = std::move(deed)] {
    if (number == breakable_) deed();
  });
}

void MemberRunner::SayTrouble(absl::string_view what, bool failed) {
  v1::MemberMessage message;
  *message.mutable_trouble()->mutable_job() = epoch_;
  message.mutable_trouble()->set_message(std::string(what));
  message.mutable_trouble()->set_failed(failed);
  setup_.say(std::move(message));
}

}  // namespace rally::simulation
