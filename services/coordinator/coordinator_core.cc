#include "services/coordinator/coordinator_core.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "proto/convert.h"
#include "services/coordinator/conditions.h"

namespace rally {
namespace {

absl::Status NoSuchJob(const std::string& job_id) {
  return absl::NotFoundError(absl::StrCat("job_id: there is no job \"", job_id, "\""));
}

// Whether `wanted`, as submitted, is the spec of the job that exists.
bool SameSpec(JobSpec wanted, const JobSpec& existing) {
  if (wanted.model.vocabulary == 0) wanted.model.vocabulary = existing.model.vocabulary;
  return ToProto(wanted).SerializeAsString() == ToProto(existing).SerializeAsString();
}

// Where a job's checkpoints go, one name for one directory; empty when there are none.
std::string CheckpointPlace(const JobSpec& spec, const std::string& resolved) {
  if (spec.paced.enabled()) return "";
  return resolved.empty() ? spec.checkpoint.directory : resolved;
}

// Who keeps a run from ending its round, for people.
std::string AwaitedBy(const Run& run) {
  if (run.end != RunEnd::kNone && run.saving.has_value()) {
    return absl::StrCat("the checkpoint of step ", *run.saving);
  }
  if (run.sent.empty()) return "a plan";
  const RoundProgress& round = run.sent.front();
  std::vector<std::string> names;
  for (int32_t rank = 0; rank < run.ranks(); ++rank) {
    const bool worker = rank < static_cast<int32_t>(round.committed.size());
    const bool awaited = round.commit_sent ? worker && !round.committed[rank].has_value()
                         : round.regrouped ? worker && !round.done[rank].has_value()
                                           : !round.done[rank].has_value();
    if (awaited) names.push_back(absl::StrCat("rank ", rank, " (", run.members[rank], ")"));
  }
  return absl::StrCat(absl::StrJoin(names, ", "), " in step ", round.planned.key.step);
}

}  // namespace

std::vector<Action> CoordinatorCore::Apply(const Event& event, absl::Time now) {
  lived_ += std::clamp(now - now_, absl::ZeroDuration(), options_.longest_gap);
  now_ = now;
  std::visit([this](const auto& concrete) { On(concrete); }, event);
  Flush();
  DeleteOldest();
  std::vector<Action> actions = std::move(persistent_);
  std::move(visible_.begin(), visible_.end(), std::back_inserter(actions));
  persistent_.clear();
  visible_.clear();
  return actions;
}

void CoordinatorCore::Flush() {
  for (const std::string& id : dirty_) {
    JobState& state = jobs_.at(id);
    if (state.status_changed) {
      v1::JobEvent event;
      *event.mutable_status() = state.job.status();
      AppendEvent(&state, std::move(event));
    }
    state.status_changed = false;
    persistent_.push_back(PersistJob{state.job});
  }
  dirty_.clear();
}

void CoordinatorCore::On(const Recover& event) {
  for (const StoredJob& stored : event.jobs) {
    absl::StatusOr<JobSpec> spec = FromProto(stored.job.spec());
    JobState& state = jobs_[stored.job.job_id()];
    state.job = stored.job;
    state.last_sequence = stored.last_sequence;
    state.spec = std::make_shared<const JobSpec>(spec.ok() ? *spec : JobSpec{});
    state.queued_since = lived_;
    if (IsFinal(stored.job.status().phase())) {
      ended_.emplace(FromProto(stored.job.end_time()), stored.job.job_id());
      continue;
    }
    active_.insert(stored.job.job_id());
    const absl::Status& good = spec.ok() ? stored.allowed : spec.status();
    if (!good.ok()) {
      FinishJob(&state, v1::JOB_PHASE_FAILED, ReasonOf(good.code()), good.message());
      continue;
    }
    state.checkpoint_place = CheckpointPlace(*spec, stored.checkpoint_place);
    if (!state.checkpoint_place.empty()) {
      savers_.emplace(state.checkpoint_place, stored.job.job_id());
    }
    const v1::Condition* cancelling = FindCondition(stored.job.status(), "Cancelling");
    if (cancelling != nullptr && cancelling->status() == v1::CONDITION_STATUS_TRUE) {
      FinishJob(&state, v1::JOB_PHASE_CANCELLED, "Cancelled", "cancelled on request");
    } else if (stored.job.status().phase() == v1::JOB_PHASE_RUNNING &&
               stored.job.status().run_epoch() > 0 && !spec->paced.enabled()) {
      BeginAdoption(&state);
    } else if (stored.job.status().phase() != v1::JOB_PHASE_QUEUED) {
      Requeue(&state, "CoordinatorRestarted", "the coordinator was restarted");
    }
  }
  Schedule();
}

void CoordinatorCore::On(const SubmitJob& event) {
  const auto found = jobs_.find(event.job_id);
  if (found != jobs_.end()) {
    if (SameSpec(event.spec, *found->second.spec)) {
      visible_.push_back(AnswerRequest{event.request, found->second.job});
    } else {
      visible_.push_back(AnswerRequest{
          event.request, absl::AlreadyExistsError(absl::StrCat("job_id: \"", event.job_id,
                                                               "\" exists with another spec"))});
    }
    return;
  }
  if (event.spec.model.vocabulary == 0) {
    // The job was there when the front end looked and has gone since.
    visible_.push_back(AnswerRequest{
        event.request, absl::UnavailableError(absl::StrCat("job_id: \"", event.job_id,
                                                           "\" has just gone; submit it again"))});
    return;
  }
  std::string place = CheckpointPlace(event.spec, event.checkpoint_place);
  if (!place.empty()) {
    const auto [taken, is_new] = savers_.emplace(place, event.job_id);
    if (!is_new) {
      visible_.push_back(AnswerRequest{
          event.request,
          absl::AlreadyExistsError(absl::StrCat(
              "checkpoint.directory: ", event.spec.checkpoint.directory, " is that of job \"",
              taken->second, "\", which has not ended: choose another directory, or wait"))});
      return;
    }
  }
  JobState& state = jobs_[event.job_id];
  state.checkpoint_place = std::move(place);
  state.spec = std::make_shared<const JobSpec>(event.spec);
  state.job.set_job_id(event.job_id);
  *state.job.mutable_spec() = ToProto(event.spec);
  *state.job.mutable_create_time() = ToProto(now_);
  state.queued_since = lived_;
  state.job.mutable_status()->set_total_steps(event.spec.training.steps);
  state.job.mutable_status()->set_epoch(1);
  SetPhase(&state, v1::JOB_PHASE_QUEUED);
  active_.insert(event.job_id);
  Schedule();
  visible_.push_back(AnswerRequest{event.request, state.job});
}

void CoordinatorCore::On(const CancelJob& event) {
  const auto found = jobs_.find(event.job_id);
  if (found == jobs_.end()) {
    visible_.push_back(AnswerRequest{event.request, NoSuchJob(event.job_id)});
    return;
  }
  JobState& state = found->second;
  if (!IsFinal(state.job.status().phase())) {
    Set(&state, "Cancelling", true, "CancelRequested", "cancel was requested");
    if (!state.run.has_value() || !state.run->running || event.grace <= absl::ZeroDuration()) {
      EndRun(&state, /*abort=*/true, "the job was cancelled");
      FinishJob(&state, v1::JOB_PHASE_CANCELLED, "Cancelled", "cancelled on request");
    } else {
      const absl::Time deadline = lived_ + event.grace;
      state.cancel_deadline = std::min(deadline, state.cancel_deadline.value_or(deadline));
      state.run->stop = StopReason::kCancel;
    }
    Schedule();
  }
  visible_.push_back(AnswerRequest{event.request, state.job});
}

void CoordinatorCore::On(const ListProcesses& event) {
  const auto found = jobs_.find(event.job_id);
  if (found == jobs_.end()) {
    visible_.push_back(AnswerProcesses{event.request, NoSuchJob(event.job_id)});
    return;
  }
  const JobState& state = found->second;
  v1::ListProcessesResponse answer;
  for (int32_t rank = 0; state.run.has_value() && rank < state.run->ranks(); ++rank) {
    const Member* member = members_.Find(state.run->members[rank]);
    if (member == nullptr) continue;
    v1::Process* process = answer.add_processes();
    process->set_role(member->role == v1::MEMBER_ROLE_ATTENTION ? v1::PROCESS_ROLE_ATTENTION_SERVER
                                                                : v1::PROCESS_ROLE_WORKER);
    process->set_host(member->host);
    process->set_process_id(member->process_id);
    process->set_member_id(member->id);
    process->set_rank(rank);
  }
  visible_.push_back(AnswerProcesses{event.request, std::move(answer)});
}

void CoordinatorCore::On(const Tick&) {
  std::vector<std::string> silent;
  for (const auto& [id, member] : members_.members()) {
    if (lived_ - member.last_seen > options_.member_timeout) silent.push_back(id);
    if (member.releasing_since.has_value() &&
        lived_ - *member.releasing_since > options_.release_timeout) {
      silent.push_back(id);
    }
  }
  for (const std::string& id : silent) {
    const Member* member = members_.Find(id);
    if (member == nullptr) continue;
    visible_.push_back(CloseSession{
        member->session, absl::DeadlineExceededError("the member did not answer in time")});
    Lose(id, "did not answer in time");
  }
  const std::set<std::string> active = active_;
  for (const std::string& id : active) {
    JobState& state = jobs_.at(id);
    if (state.adoption.has_value()) ContinueAdoption(&state);
    if (state.run.has_value()) LoseSilentServers(&state);
    if (state.run.has_value()) CheckTimeouts(&state);
    if (active_.contains(id)) CheckDeadline(&state);
  }
  Schedule();
}

void CoordinatorCore::CheckTimeouts(JobState* state) {
  Run& run = *state->run;
  if (AwaitsServers(*state)) MarkRoundEnd(&run);  // That may take as long as it likes.
  if (state->cancel_deadline.has_value() && lived_ >= *state->cancel_deadline) {
    EndRun(state, /*abort=*/true, "the grace period is over");
    FinishJob(state, v1::JOB_PHASE_CANCELLED, "Cancelled",
              "cancelled on request; stopped at the end of the grace period");
  } else if (!run.running && lived_ - run.started > options_.start_timeout) {
    Interrupt(state, "StartTimeout",
              absl::StrCat("members were not ready after ",
                           absl::FormatDuration(options_.start_timeout)));
  } else if (run.running && lived_ - run.waiting_since > options_.round_timeout) {
    Interrupt(state, "RoundTimeout",
              absl::StrCat("no round has ended for ", absl::FormatDuration(options_.round_timeout),
                           ", waiting for ", AwaitedBy(run)));
  }
}

// A run that trains stops at its next commit, and round_timeout bounds that. One that is awaited
// from the coordinator before will do the same.
void CoordinatorCore::CheckDeadline(JobState* state) {
  if (now_ < DeadlineOf(*state) || state->adoption.has_value()) return;
  if (state->run.has_value() && state->run->stop == StopReason::kCancel) return;
  if (state->run.has_value() && state->run->running && !AwaitsServers(*state)) {
    state->run->stop = StopReason::kDeadline;
    return;
  }
  EndRun(state, /*abort=*/true, "the job's deadline has passed");
  FailOverdue(state);
}

}  // namespace rally
