// How a member follows changes of its job's attention servers: see job_runner.h.
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/log.h"
#include "common/status_macros.h"
#include "proto/wire_text.h"
#include "workers/job_runner.h"

namespace rally {

void JobRunner::ChangePool(const v1::CoordinatorMessage& message) {
  const v1::Regroup& regroup = message.regroup();
  std::optional<Held> held = Current(regroup.job());
  if (!held.has_value()) return;  // A repeat, or stale.
  const std::shared_ptr<AbortSwitch> last =
      std::exchange(held->pool, std::make_shared<AbortSwitch>());
  held->epoch.set_epoch(regroup.epoch());
  held->rank = regroup.rank();
  {
    absl::MutexLock lock(&mutex_);
    held_ = held;
    outbox_.SetJob(held->epoch);
  }
  Enqueue(message, *held);
  last->Abort(absl::AbortedError(absl::StrCat("the attention pool changes: ", regroup.reason())));
}

absl::Status JobRunner::Regroup(const Command& command, const v1::Standing& standing) {
  const v1::Regroup& regroup = command.message.regroup();
  epoch_.set_epoch(regroup.epoch());  // Within a round it is taken here.
  plans_.clear();                     // Of the epoch before: they come again.
  RALLY_ASSIGN_OR_RETURN(v1::Prepared prepared, member_->Regroup(regroup, command.held.pool));
  RALLY_LOG_INFO("{}: rank {} of {}: {}", Name(epoch_), regroup.rank(), regroup.ranks(),
                 regroup.reason());
  v1::MemberMessage answer;
  *answer.mutable_prepared() = std::move(prepared);
  *answer.mutable_prepared()->mutable_standing() = standing;
  if (regroup.report()) AddReport(answer.mutable_prepared()->mutable_standing());
  Say(std::move(answer));
  return absl::OkStatus();
}

// A server may have died after its Prepared. What else comes of this pool is ignored.
void JobRunner::MissPool(const Command& connect, const absl::Status& cause) {
  connect.held.pool->Abort(cause);
  SayTrouble(cause.message(), /*failed=*/true);
}

v1::Standing JobRunner::StandingBetweenRounds() const {
  v1::Standing standing;
  standing.set_round(awaited_commit_.value_or(member_->next_round()));
  standing.set_begun(awaited_commit_.has_value());
  standing.set_complete(awaited_commit_.has_value());
  return standing;
}

void JobRunner::AddReport(v1::Standing* standing) const {
  const bool committed = last_.has_committed();
  standing->set_step(committed ? last_.committed().step() : ready_.step());
  *standing->mutable_position() = committed ? last_.plan().next_position() : ready_.position();
  if (current_.has_plan()) *standing->mutable_current() = current_;
  if (committed) *standing->mutable_last() = last_;
  if (role_ == v1::MEMBER_ROLE_MODEL) *standing->mutable_validated() = validated_;
  member_->AddReport(standing);
}

void JobRunner::SayTrouble(absl::string_view what, bool failed) {
  RALLY_LOG_WARN("{}: {}", Name(epoch_), std::string(what));
  v1::MemberMessage message;
  message.mutable_trouble()->set_message(WireText(what, kLongestReason));
  message.mutable_trouble()->set_failed(failed);
  Say(std::move(message));
}

absl::StatusOr<std::optional<v1::PlanMessage>> JobRunner::AwaitPlan(const absl::Status& cause,
                                                                    const v1::Standing& standing) {
  if (!StatusIsOfPool(cause)) return cause;
  // The coordinator may not know yet that there is reason for a change.
  if (!absl::IsAborted(cause)) SayTrouble(cause.message(), /*failed=*/true);
  absl::Time deadline = absl::Now() + resources_.phase_timeout;
  bool regrouped = false;
  while (true) {
    std::optional<Command> command = NextCommand(deadline);
    if (!abort_->status().ok()) {
      if (command.has_value()) put_back_.push_front(*std::move(command));
      return abort_->status();
    }
    if (!command.has_value()) return cause;
    const v1::CoordinatorMessage& message = command->message;
    if (message.has_release() || message.has_prepare()) {
      put_back_.push_front(*std::move(command));
      return absl::CancelledError("the epoch has ended");
    }
    if (Ignores(*command)) continue;
    if (message.has_regroup()) {
      RALLY_RETURN_IF_ERROR(Regroup(*command, standing));
      deadline = absl::InfiniteFuture();  // For as long as the coordinator finds no servers.
      regrouped = true;
    } else if (message.has_connect() && regrouped) {
      RALLY_RETURN_IF_ERROR(Connect(*command));
      if (!command->held.pool->status().ok()) continue;  // The next Regroup is on its way.
      const v1::Connect& connect = message.connect();
      const bool resumes =
          connect.has_resumed_round() && connect.resumed_round() == standing.round();
      if (!resumes) return std::nullopt;
    } else if (message.has_plan() && regrouped &&
               message.plan().plan().round() == standing.round()) {
      return message.plan();
    }
  }
}

}  // namespace rally
