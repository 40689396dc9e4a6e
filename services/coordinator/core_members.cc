// The core's dealings with members as such: see coordinator_core.h.
#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "proto/convert.h"
#include "services/coordinator/back_off.h"
#include "services/coordinator/conditions.h"
#include "services/coordinator/coordinator_core.h"

namespace rally {

void CoordinatorCore::On(const MemberHello& event) {
  const std::string& id = event.hello.member_id();
  if (const Member* previous = members_.Find(id)) {
    // Two processes of one name would take turns for ever. A dead one is lost after a while.
    if (previous->host != event.hello.host() || previous->process_id != event.hello.process_id()) {
      visible_.push_back(CloseSession{
          event.session, absl::AlreadyExistsError(absl::StrCat(
                             "member_id: \"", id, "\" is process ", previous->process_id, " on ",
                             previous->host, " already; give every member an --id of its own"))});
      return;
    }
    visible_.push_back(
        CloseSession{previous->session, absl::AbortedError("the member opened a new session")});
    Lose(id, "opened a new session");
  }
  Member* member = members_.Add(Member{.id = id,
                                       .role = event.hello.role(),
                                       .host = event.hello.host(),
                                       .process_id = event.hello.process_id(),
                                       .session = event.session,
                                       .last_seen = lived_});
  v1::CoordinatorMessage message;
  *message.mutable_welcome()->mutable_heartbeat_interval() = ToProto(options_.heartbeat_interval);
  Send(*member, std::move(message));
  // A run does not outlive its members' sessions, so what a new session still holds is stale,
  // unless the coordinator is new as well.
  if (!event.hello.current().job_id().empty() && !TakeBack(member, event.hello)) {
    member->job_id = event.hello.current().job_id();
    member->epoch = event.hello.current().epoch();
    member->told_epoch = member->epoch;
    ReleaseMember(member, /*abort=*/true, "the epoch has ended");
  }
  Schedule();
}

void CoordinatorCore::On(const MemberLost& event) {
  if (members_.Find(event.member_id, event.session) == nullptr) return;
  Lose(event.member_id, event.reason);
  Schedule();
}

void CoordinatorCore::Lose(const std::string& member_id, absl::string_view reason) {
  const Member member = *members_.Find(member_id);
  members_.Remove(member_id);
  ForgetAdopted(member_id);
  const auto found = jobs_.find(member.job_id);
  if (found == jobs_.end() || !found->second.run.has_value()) return;
  JobState* state = &found->second;
  if (!member.holds(member.job_id, state->run->epoch)) return;
  const std::string text = absl::StrCat("rank ", member.rank, " (", member_id, "): ", reason);
  if (CanChangePool(*state) && member.rank >= state->run->spec->workers) {
    ChangePool(state, text);
  } else {
    Interrupt(state, "MemberLost", text);
  }
}

void CoordinatorCore::On(const MemberSaid& event) {
  Member* member = members_.Find(event.member_id, event.session);
  if (member == nullptr) return;
  member->last_seen = lived_;
  const v1::MemberMessage& message = event.message;
  JobState* state = nullptr;
  switch (message.message_case()) {
    case v1::MemberMessage::kPrepared:
      if ((state = Current(*member, message.prepared().job())) != nullptr) {
        OnPrepared(*member, state, message.prepared());
      }
      break;
    case v1::MemberMessage::kReady:
      if ((state = Current(*member, message.ready().job())) != nullptr) {
        OnReady(*member, state, message.ready());
      }
      break;
    case v1::MemberMessage::kRoundDone:
      if ((state = Current(*member, message.round_done().job())) != nullptr) {
        member->proven = true;
        member->failures = 0;
        member->not_before = absl::InfinitePast();
        OnRoundDone(*member, state, message.round_done());
      }
      break;
    case v1::MemberMessage::kCommitted:
      if ((state = Current(*member, message.committed().job())) != nullptr) {
        OnCommitted(*member, state, message.committed());
      }
      break;
    case v1::MemberMessage::kCheckpointWritten:
      if ((state = Current(*member, message.checkpoint_written().job())) != nullptr) {
        OnCheckpointWritten(state, message.checkpoint_written());
      }
      break;
    case v1::MemberMessage::kFailed:
      if ((state = Current(*member, message.failed().job())) != nullptr) {
        OnFailed(member, state, message.failed());
      }
      break;
    case v1::MemberMessage::kTrouble:
      if ((state = Current(*member, message.trouble().job())) != nullptr) {
        OnTrouble(*member, state, message.trouble());
      }
      break;
    case v1::MemberMessage::kLogs:
      OnLogs(*member, message.logs());
      break;
    case v1::MemberMessage::kReleased:
      OnReleased(member, message.released());
      break;
    case v1::MemberMessage::kLeaving:
      OnLeaving(member);
      break;
    default:
      break;  // Heartbeat; a second Hello is the session's to refuse.
  }
}

// Lines may come after the run has ended; the member's word is good for its own job.
void CoordinatorCore::OnLogs(const Member& member, const v1::LogBatch& message) {
  const bool of_its_job = member.job_id == message.job().job_id() && member.rank >= 0;
  if (!of_its_job || jobs_.count(member.job_id) == 0) return;
  persistent_.push_back(
      AppendLogs{member.job_id, member.rank, {message.entries().begin(), message.entries().end()}});
}

JobState* CoordinatorCore::Current(const Member& member, const v1::JobEpoch& epoch) {
  const auto found = jobs_.find(epoch.job_id());
  if (found == jobs_.end() || !found->second.run.has_value()) return nullptr;
  const Run& run = *found->second.run;
  // What a member says before it has heard of a change of the pool is as good as after.
  const bool of_run = run.first_epoch <= epoch.epoch() && epoch.epoch() <= run.epoch;
  return of_run && member.holds(epoch.job_id(), run.epoch) ? &found->second : nullptr;
}

void CoordinatorCore::OnReleased(Member* member, const v1::Released& message) {
  if (member->job_id != message.job().job_id()) return;
  if (member->told_epoch != message.job().epoch()) return;
  if (!member->releasing_since.has_value()) return;
  member->Free();
  Schedule();
}

void CoordinatorCore::OnFailed(Member* member, JobState* state, const v1::MemberFailed& message) {
  const auto code = static_cast<absl::StatusCode>(message.code());
  const std::string text =
      absl::StrCat("rank ", member->rank, " (", member->id, "): ", absl::StatusCodeToString(code),
                   ": ", message.message());
  if (IsUserError(code)) {
    EndRun(state, /*abort=*/true, "the job has failed");
    FinishJob(state, v1::JOB_PHASE_FAILED, ReasonOf(code), text);
    Schedule();
    return;
  }
  // Else it would be taken again at once, for ever. One that was of use may be so again.
  if (!member->proven) member->not_before = lived_ + BackOffAfter(++member->failures);
  if (CanChangePool(*state) && member->rank >= state->run->spec->workers) {
    ReleaseMember(member, /*abort=*/true, "it has failed");
    ChangePool(state, text);
  } else {
    Interrupt(state, "MemberFailed", text);
  }
  Schedule();
}

void CoordinatorCore::OnLeaving(Member* member) {
  member->leaving = true;
  const auto found = jobs_.find(member->job_id);
  if (found == jobs_.end() || !found->second.run.has_value()) return;
  JobState* state = &found->second;
  if (!member->holds(member->job_id, state->run->epoch)) return;
  if (CanChangePool(*state) && member->rank >= state->run->spec->workers) {
    state->run->pool_due = true;  // It serves the round to its end.
    return;
  }
  if (state->run->running) {
    // A cancel that is under way stays one.
    if (state->run->stop == StopReason::kNone) state->run->stop = StopReason::kMemberLeaves;
    return;
  }
  EndRun(state, /*abort=*/true, "a member leaves");
  Requeue(state, "MemberLeaving", absl::StrCat("member ", member->id, " was asked to stop"));
  Schedule();
}

// Whether a worker of the run was asked to stop.
bool CoordinatorCore::WorkerLeaves(const Run& run) {
  return std::any_of(run.members.begin(), run.members.begin() + run.spec->workers,
                     [this](const std::string& id) {
                       const Member* member = members_.Find(id);
                       return member != nullptr && member->leaving;
                     });
}

void CoordinatorCore::Send(const Member& member, v1::CoordinatorMessage message) {
  visible_.push_back(SendToMember{
      member.session, std::make_shared<const v1::CoordinatorMessage>(std::move(message))});
}

void CoordinatorCore::SendToRun(const Run& run, int32_t ranks, v1::CoordinatorMessage message) {
  const auto shared = std::make_shared<const v1::CoordinatorMessage>(std::move(message));
  for (int32_t rank = 0; rank < ranks; ++rank) {
    const Member* member = members_.Find(run.members[rank]);
    if (member != nullptr) visible_.push_back(SendToMember{member->session, shared});
  }
}

void CoordinatorCore::ReleaseMember(Member* member, bool abort, absl::string_view reason) {
  v1::CoordinatorMessage message;
  v1::Release* release = message.mutable_release();
  release->mutable_job()->set_job_id(member->job_id);
  release->mutable_job()->set_epoch(member->told_epoch);
  release->set_abort(abort);
  release->set_reason(std::string(reason));
  Send(*member, std::move(message));
  member->releasing_since = lived_;
}

}  // namespace rally
