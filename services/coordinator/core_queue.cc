// The queue: which jobs start when, and on how many workers: see coordinator_core.h.
#include <algorithm>
#include <tuple>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "proto/convert.h"
#include "services/coordinator/conditions.h"
#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/placement.h"
#include "services/coordinator/round_schedule.h"

namespace rally {
namespace {

// A run that ends to start anew at full strength is in the queue already: nobody behind it may take
// the members that it is to have.
bool Waits(const JobState& state) {
  return state.job.status().phase() == v1::JOB_PHASE_QUEUED ||
         (state.run.has_value() && state.run->stop == StopReason::kFullStrength);
}

bool IsAhead(const JobState& a, const JobState& b) {
  const auto key = [](const JobState& state) {
    return std::make_tuple(-state.spec->priority, FromProto(state.job.create_time()),
                           state.job.job_id());
  };
  return key(a) < key(b);
}

// Jobs in the order in which they are to start.
std::vector<JobState*> Queue(const std::set<std::string>& active,
                             std::map<std::string, JobState>* jobs) {
  std::vector<JobState*> queue;
  for (const std::string& id : active) {
    JobState* state = &jobs->at(id);
    if (Waits(*state)) queue.push_back(state);
  }
  std::sort(queue.begin(), queue.end(),
            [](const JobState* a, const JobState* b) { return IsAhead(*a, *b); });
  return queue;
}

}  // namespace

void CoordinatorCore::Schedule() {
  FillPools();
  bool blocked = false;
  for (JobState* state : Queue(active_, &jobs_)) {
    if (!MayStart(*state)) {
      if (now_ < state->retry_at) {
        Set(state, "Scheduled", false, "BackOff",
            absl::StrCat(
                "the last run made no step; the next begins at ",
                absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", state->retry_at, absl::UTCTimeZone())));
      }
      continue;
    }
    if (state->run.has_value()) {
      blocked = true;
      continue;
    }
    if (blocked) {
      // Whose turn it is changes with every start: were it said, each of these would be told.
      Set(state, "Scheduled", false, "WaitsForEarlierJob", "jobs ahead of it in the queue wait");
      continue;
    }
    const std::shared_ptr<const JobSpec> spec = NextSpec(*state);
    const Placement placement = Place(*spec, members_);
    if (placement.placed()) {
      StartRun(state, spec, placement.members, placement.single_host);
    } else {
      Set(state, "Scheduled", false, placement.reason, placement.message);
      blocked = true;
    }
  }
}

// A job that may not leaves the members to those behind it. One whose deadline has passed ends with
// the next tick.
bool CoordinatorCore::MayStart(const JobState& state) const {
  return now_ >= state.retry_at && now_ < DeadlineOf(state);
}

// Of the run that the job is to begin now: on fewer workers once lost ones have been waited for.
std::shared_ptr<const JobSpec> CoordinatorCore::NextSpec(const JobState& state) const {
  const bool has_trained = state.job.status().workers() > 0;
  const absl::Duration wait = absl::Seconds(state.spec->worker_wait_seconds);
  if (!has_trained || lived_ - state.queued_since < wait) return state.spec;
  return WithWorkers(state, state.spec->AllowedWorkers(FreeWorkers(members_, lived_)));
}

// Whether a run on fewer workers is to end at the commit of `step` since the job can have all of
// them again. Only with a checkpoint that would be written anyway, so that no step is lost.
bool CoordinatorCore::CanGrow(const JobState& state, int64_t step) const {
  const Run& run = *state.run;
  const CheckpointSpec& checkpoint = run.spec->checkpoint;
  if (run.spec->workers == state.spec->workers || step == run.spec->training.steps) return false;
  if (checkpoint.directory.empty() || run.saving.has_value()) return false;
  if (checkpoint.every > 0 && !run.overdue.has_value() && !CheckpointDue(*run.spec, step)) {
    return false;
  }
  const v1::Condition* saved = FindCondition(state.job.status(), "CheckpointSaved");
  if (saved != nullptr && saved->status() == v1::CONDITION_STATUS_FALSE) return false;
  if (!CouldPlace(*state.spec, members_, state.job.job_id(), lived_)) return false;
  // Whoever is ahead in the queue would take the members.
  return std::none_of(active_.begin(), active_.end(), [&](const std::string& id) {
    const JobState& other = jobs_.at(id);
    return Waits(other) && MayStart(other) && IsAhead(other, state);
  });
}

void CoordinatorCore::StartRun(JobState* state, std::shared_ptr<const JobSpec> spec,
                               const std::vector<std::string>& members, bool single_host) {
  Run& run = state->run.emplace();
  run.spec = std::move(spec);
  run.first_epoch = state->job.status().epoch();
  run.epoch = run.first_epoch;
  run.members = members;
  run.single_host = single_host;
  state->job.mutable_status()->set_run_epoch(run.first_epoch);
  run.started = lived_;
  run.prepared.resize(members.size());
  run.ready.resize(members.size());
  SetPhase(state, v1::JOB_PHASE_STARTING);
  Set(state, "Scheduled", true, "MembersAssigned",
      absl::StrCat(run.spec->workers, " model workers, ", run.spec->attention.dedicated,
                   " attention servers"));
  if (state->spec->fewest_workers() < state->spec->workers) {
    const bool all = run.spec->workers == state->spec->workers;
    Set(state, "FullStrength", all, all ? "AllWorkers" : "WorkersMissing",
        absl::StrCat(run.spec->workers, " of ", state->spec->workers, " workers"));
  }
  Set(state, "Ready", false, "Starting", "members load data and weights and connect");
  if (!state->job.has_start_time()) *state->job.mutable_start_time() = ToProto(now_);

  for (int32_t rank = 0; rank < run.ranks(); ++rank) Prepare(state, rank);
}

void CoordinatorCore::Prepare(JobState* state, int32_t rank) {
  const Run& run = *state->run;
  Member* member = members_.Find(run.members[rank]);
  RALLY_CHECK(member != nullptr, "placement chose a member that is not registered");
  member->job_id = state->job.job_id();
  member->epoch = run.epoch;
  member->told_epoch = run.epoch;
  member->rank = rank;
  v1::CoordinatorMessage message;
  v1::Prepare* prepare = message.mutable_prepare();
  prepare->mutable_job()->set_job_id(state->job.job_id());
  prepare->mutable_job()->set_epoch(run.epoch);
  *prepare->mutable_spec() = state->job.spec();
  prepare->mutable_spec()->set_workers(run.spec->workers);
  prepare->set_rank(rank);
  prepare->set_ranks(run.ranks());
  prepare->set_single_host(run.single_host);
  // Once rank 0 has looked at the directory and rounds have begun, a checkpoint in it may be the
  // job's own though nobody has heard of it yet. Before that it is another job's.
  const v1::JobStatus& status = state->job.status();
  prepare->set_restore(!status.checkpoint().empty() || status.workers() > 0);
  prepare->set_checkpoint_step(status.checkpoint_step());
  Send(*member, std::move(message));
}

}  // namespace rally
