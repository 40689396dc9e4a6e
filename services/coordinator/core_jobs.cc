// How runs and jobs end, and how a job's state is changed: see coordinator_core.h.
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "proto/convert.h"
#include "services/coordinator/conditions.h"
#include "services/coordinator/coordinator_core.h"

namespace rally {

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
  SetPhase(state, v1::JOB_PHASE_QUEUED);
  Set(state, "Scheduled", false, reason, message);
  Set(state, "Ready", false, reason, message);
  Set(state, "Progressing", false, reason, message);
}

void CoordinatorCore::Interrupt(JobState* state, absl::string_view reason,
                                absl::string_view message) {
  const bool cancelling = state->run.has_value() && state->run->stop == StopReason::kCancel;
  EndRun(state, /*abort=*/true, message);
  if (cancelling) {
    FinishJob(state, v1::JOB_PHASE_CANCELLED, "Cancelled",
              absl::StrCat("cancelled on request; ", message));
    return;
  }
  v1::JobStatus* status = state->job.mutable_status();
  if (status->restarts() >= state->spec->max_restarts) {
    FinishJob(state, v1::JOB_PHASE_FAILED, "TooManyRestarts",
              absl::StrCat(message, "; max_restarts is ", state->spec->max_restarts));
    return;
  }
  status->set_restarts(status->restarts() + 1);
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
  ended_.emplace(now_, state->job.job_id());
  visible_.push_back(ForgetPlans{state->job.job_id()});
}

// After Flush: what was written of the job just now goes with the rest of it.
void CoordinatorCore::DeleteOldest() {
  while (static_cast<int64_t>(ended_.size()) > options_.ended_jobs) {
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
