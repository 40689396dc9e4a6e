// Checkpoints, how runs and jobs end, and how a job's state is changed: see coordinator_core.h.
#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "proto/convert.h"
#include "services/coordinator/back_off.h"
#include "services/coordinator/conditions.h"
#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/round_schedule.h"

namespace rally {
namespace {

// Of a checkpoint that could not be written, or not be read again.
std::string SaveReason(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kResourceExhausted:
      return "DiskFull";
    case absl::StatusCode::kPermissionDenied:
      return "ReadOnly";
    case absl::StatusCode::kDataLoss:
      return "Damaged";
    default:
      return ReasonOf(code);
  }
}

}  // namespace

bool CoordinatorCore::TakeCheckpoint(JobState* state, int64_t step, bool last) {
  Run& run = *state->run;
  const bool possible = !state->spec->checkpoint.directory.empty() && !state->spec->paced.enabled();
  if (!possible || !(last || run.overdue.has_value() || CheckpointDue(*state->spec, step))) {
    return false;
  }
  if (run.saving.has_value() && !last) {
    run.overdue = run.overdue.value_or(step);
    return false;
  }
  run.saving = step;
  run.saving_due = run.overdue.value_or(step);
  run.overdue.reset();
  return true;
}

void CoordinatorCore::OnCheckpointWritten(JobState* state, const v1::CheckpointWritten& message) {
  Run& run = *state->run;
  v1::JobStatus* status = state->job.mutable_status();
  const int64_t step = message.step();
  if (run.adopted) {
    // Of the report that is being gathered, which may have gone out before it.
    if (!run.prepared[0].has_value()) return;
    v1::Standing* standing = run.prepared[0]->mutable_standing();
    if (standing->saving() == step) standing->clear_saving();
    *standing->mutable_saved() = message;
    return;
  }
  if (run.saving == step && step > status->step()) {
    run.saved_early = message;  // Taken when the step is recorded.
    return;
  }
  run.saved_early.reset();
  const bool asked = run.saving == step;
  if (asked) {
    run.saving.reset();
    run.last_save = message;
  }
  const bool repeated = message.code() == 0 && message.directory() == status->checkpoint();
  if (repeated) {
    // Said again to a coordinator that was restarted.
  } else if (message.code() == 0) {
    v1::JobEvent saved;
    saved.mutable_checkpoint()->set_step(step);
    saved.mutable_checkpoint()->set_directory(message.directory());
    AppendEvent(state, std::move(saved));
    status->set_checkpoint(message.directory());
    status->set_checkpoint_step(step);
    std::string text = absl::StrCat("step ", step);
    if (asked && run.saving_due < step) {
      absl::StrAppend(&text, ", due at step ", run.saving_due, " while another was being written");
    }
    Set(state, "CheckpointSaved", true, "Saved", text);
  } else {
    const auto code = static_cast<absl::StatusCode>(message.code());
    if (code == absl::StatusCode::kDataLoss) status->set_checkpoint(message.directory());
    Set(state, "CheckpointSaved", false, SaveReason(code),
        absl::StrCat("step ", step, ": ", message.message()));
  }
  Touch(state);
  EndWhenSaved(state);
}

void CoordinatorCore::EndWhenSaved(JobState* state) {
  const Run& run = *state->run;
  if (run.end == RunEnd::kNone || run.saving.has_value()) return;
  if (run.end == RunEnd::kDone) {
    EndDone(state);
  } else if (!run.surely_ends() && run.last_save.code() != 0) {
    TakeBackStop(state);
  } else {
    EndStopped(state);
  }
  Schedule();
}

// The run was to start anew on more workers, but steps would be lost: it goes on as it is. Members
// that have the next plan have not waited for this.
void CoordinatorCore::TakeBackStop(JobState* state) {
  Run& run = *state->run;
  run.stop = WorkerLeaves(run) ? StopReason::kMemberLeaves : StopReason::kNone;
  run.closing = false;
  run.end = RunEnd::kNone;
  if (run.pool_due) return ChangePool(state, "servers join or leave");
  Pump(state);
  Advance(state);
}

void CoordinatorCore::EndDone(JobState* state) {
  const auto code = static_cast<absl::StatusCode>(state->run->last_save.code());
  const int64_t steps = state->spec->training.steps;
  if (code == absl::StatusCode::kOk) {
    EndRun(state, /*abort=*/false, "the job is done");
    FinishJob(state, v1::JOB_PHASE_SUCCEEDED, "Succeeded",
              absl::StrCat("all ", steps, " steps are done"));
    return;
  }
  const std::string message = absl::StrCat(
      "all ", steps,
      " steps are done but the last checkpoint was not written: ", state->run->last_save.message());
  if (code != absl::StatusCode::kResourceExhausted && !IsUserError(code)) {
    return Interrupt(state, SaveReason(code), message);
  }
  EndRun(state, /*abort=*/false, "the last checkpoint was not written");
  FinishJob(state, v1::JOB_PHASE_FAILED, SaveReason(code), message);
}

void CoordinatorCore::EndStopped(JobState* state) {
  const StopReason stop = state->run->stop;
  // Members that have the next plan may be working on it: it is dropped.
  const bool abort = !state->run->sent.empty();
  if (stop == StopReason::kCancel) {
    EndRun(state, abort, "the job was cancelled");
    FinishJob(state, v1::JOB_PHASE_CANCELLED, "Cancelled", "cancelled on request");
  } else if (stop == StopReason::kDeadline) {
    EndRun(state, abort, "the job's deadline has passed");
    FailOverdue(state);
  } else if (stop == StopReason::kFullStrength) {
    EndRun(state, abort, "the job starts anew on all its workers");
    Requeue(state, "FullStrength", "all workers are there again");
  } else {
    EndRun(state, abort, "a member leaves");
    Requeue(state, "MemberLeaving", "a member was asked to stop");
  }
}

void CoordinatorCore::EndRun(JobState* state, bool abort, absl::string_view reason) {
  EndAdoption(state, reason);
  if (!state->run.has_value()) return;
  for (const std::string& id : state->run->members) {
    Member* member = members_.Find(id);
    if (member == nullptr || !member->holds(state->job.job_id(), state->run->epoch)) continue;
    ReleaseMember(member, abort, reason);
  }
  state->run.reset();
}

void CoordinatorCore::Requeue(JobState* state, absl::string_view reason,
                              absl::string_view message) {
  RALLY_CHECK(!state->run.has_value(), "a job with a run cannot be queued");
  v1::JobStatus* status = state->job.mutable_status();
  status->set_epoch(status->epoch() + 1);
  state->queued_since = lived_;
  SetPhase(state, v1::JOB_PHASE_QUEUED);
  Set(state, "Scheduled", false, reason, message);
  Set(state, "Ready", false, reason, message);
  Set(state, "Progressing", false, reason, message);
}

void CoordinatorCore::Interrupt(JobState* state, absl::string_view reason,
                                absl::string_view message) {
  RALLY_CHECK(state->run.has_value(), "there is nothing to interrupt");
  const StopReason stop = state->run->stop;
  const bool progressed = state->run->progressed;
  EndRun(state, /*abort=*/true, message);
  if (stop == StopReason::kCancel) {
    FinishJob(state, v1::JOB_PHASE_CANCELLED, "Cancelled",
              absl::StrCat("cancelled on request; ", message));
    return;
  }
  if (stop == StopReason::kDeadline) return FailOverdue(state);
  v1::JobStatus* status = state->job.mutable_status();
  if (status->restarts() >= state->spec->max_restarts) {
    FinishJob(state, v1::JOB_PHASE_FAILED, "TooManyRestarts",
              absl::StrCat(message, "; max_restarts is ", state->spec->max_restarts));
    return;
  }
  status->set_restarts(status->restarts() + 1);
  if (!progressed) state->retry_at = now_ + BackOffAfter(++state->fruitless_runs);
  Requeue(state, reason, message);
}

void CoordinatorCore::FinishJob(JobState* state, v1::JobPhase phase, absl::string_view reason,
                                absl::string_view message) {
  RALLY_CHECK(!state->run.has_value(), "a job with a run cannot end");
  SetPhase(state, phase);
  *state->job.mutable_end_time() = ToProto(now_);
  for (const char* type : {"Ready", "Progressing", "Cancelling"}) {
    if (FindCondition(state->job.status(), type) != nullptr) {
      Set(state, type, false, reason, message);
    }
  }
  Set(state, "Completed", true, reason, message);
  state->cancel_deadline.reset();
  active_.erase(state->job.job_id());
  const auto place = savers_.find(state->checkpoint_place);
  if (place != savers_.end() && place->second == state->job.job_id()) savers_.erase(place);
  ended_.emplace(now_, state->job.job_id());
  visible_.push_back(ForgetPlans{state->job.job_id()});
}

void CoordinatorCore::FailOverdue(JobState* state) {
  FinishJob(state, v1::JOB_PHASE_FAILED, "DeadlineExceeded",
            absl::StrCat("not done ", state->spec->deadline_seconds,
                         " s after it was submitted (deadline_seconds); it stands at step ",
                         state->job.status().step()));
}

// After Flush: what was written of the job just now goes with the rest of it.
void CoordinatorCore::DeleteOldest() {
  while (static_cast<int64_t>(ended_.size()) > options_.ended_jobs ||
         (!ended_.empty() && now_ - ended_.begin()->first > options_.ended_ttl)) {
    const std::string job_id = ended_.begin()->second;
    ended_.erase(ended_.begin());
    jobs_.erase(job_id);
    persistent_.push_back(DeleteJob{job_id});
  }
}

void CoordinatorCore::SetPhase(JobState* state, v1::JobPhase phase) {
  state->job.mutable_status()->set_phase(phase);
  state->status_changed = true;
  Touch(state);
}

void CoordinatorCore::Set(JobState* state, absl::string_view type, bool value,
                          absl::string_view reason, absl::string_view message) {
  if (!SetCondition(state->job.mutable_status(), type, value, reason, message, now_)) return;
  state->status_changed = true;
  Touch(state);
}

void CoordinatorCore::AppendEvent(JobState* state, v1::JobEvent event) {
  event.set_sequence(++state->last_sequence);
  *event.mutable_time() = ToProto(now_);
  persistent_.push_back(AppendJobEvent{state->job.job_id(), std::move(event)});
}

void CoordinatorCore::Touch(JobState* state) { dirty_.insert(state->job.job_id()); }

}  // namespace rally
