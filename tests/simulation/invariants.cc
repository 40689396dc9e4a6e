#include "tests/simulation/invariants.h"

#include <algorithm>
#include <limits>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "proto/convert.h"
#include "services/coordinator/conditions.h"
#include "services/coordinator/round_schedule.h"
#include "tests/simulation/random.h"

namespace rally::simulation {
namespace {

uint64_t HashOf(const std::string& bytes) {
  uint64_t hash = bytes.size();
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  return Mix(hash);
}

absl::Time DeadlineOf(const v1::Job& job) {
  return FromProto(job.create_time()) + absl::Seconds(job.spec().deadline_seconds());
}

std::string Name(const v1::JobEpoch& epoch) {
  return absl::StrCat("job ", epoch.job_id(), ", epoch ", epoch.epoch());
}

std::string Name(const v1::JobEpoch& epoch, int32_t rank) {
  return absl::StrCat(Name(epoch), ", rank ", rank);
}

}  // namespace

void Invariants::Sent(int process, uint64_t session, const v1::CoordinatorMessage& message) {
  const std::string to = absl::StrCat("session ", session, " of coordinator ", process);
  if (message.has_prepare()) {
    SentPrepare(to, message.prepare());
  } else if (message.has_regroup()) {
    SentRegroup(to, message.regroup());
  } else if (message.has_commit()) {
    SentCommit(message.commit());
  }
}

// Of a run's first epoch, or of a server that joins it.
void Invariants::SentPrepare(const std::string& session, const v1::Prepare& prepare) {
  const std::string who = Name(prepare.job(), prepare.rank());
  JobRecord& job = jobs_[prepare.job().job_id()];
  const uint32_t epoch = prepare.job().epoch();
  const auto [entry, begins] = job.epochs.try_emplace(epoch, EpochRecord{epoch, {}});
  if (begins) {
    if (job.cancelled) {
      Break(absl::StrCat(who, " is begun after the job's cancel was acknowledged"));
    }
    job.runs[epoch].workers = prepare.spec().workers();
    CheckStrength(who, job, prepare.spec());
  } else if (entry->second.run != epoch && prepare.rank() < prepare.spec().workers()) {
    Break(absl::StrCat(who, " joins the workers of a run under way"));
  }
  Give(prepare.job(), prepare.rank(), session);
}

void Invariants::CheckStrength(const std::string& who, const JobRecord& job,
                               const v1::JobSpec& spec) {
  if (const absl::Status status = FromProto(spec).status(); !status.ok()) {
    Break(absl::StrCat(who, " is of a spec that is none: ", status.message()));
  }
  if (spec.workers() == job.workers) return;
  ++weaker_runs_;
  if (workers_hold_ || !job.has_trained) {
    Break(absl::StrCat(who, " begins with ", spec.workers(), " of ", job.workers,
                       " workers, though ",
                       workers_hold_ ? "no worker fails" : "the job has not trained"));
  }
}

void Invariants::SentRegroup(const std::string& session, const v1::Regroup& regroup) {
  JobRecord& job = jobs_[regroup.job().job_id()];
  v1::JobEpoch epoch = regroup.job();
  epoch.set_epoch(regroup.epoch());
  const std::string who = Name(epoch, regroup.rank());
  const auto last = job.epochs.find(regroup.job().epoch());
  if (last == job.epochs.end()) {
    return Break(absl::StrCat(who, " follows ", Name(regroup.job()), ", which was not begun"));
  }
  const uint32_t run = last->second.run;
  const auto [entry, begins] = job.epochs.try_emplace(regroup.epoch(), EpochRecord{run, {}});
  if (entry->second.run != run || job.runs.rbegin()->first != run) {
    Break(absl::StrCat(who, " goes on with the run of epoch ", run, ", but there is a newer one"));
  }
  Give(epoch, regroup.rank(), session);
}

void Invariants::Give(const v1::JobEpoch& epoch, int32_t rank, const std::string& session) {
  JobRecord& job = jobs_[epoch.job_id()];
  if (job.epochs.rbegin()->first > epoch.epoch()) {
    Break(absl::StrCat(Name(epoch, rank), " is begun after epoch ", job.epochs.rbegin()->first));
  }
  const auto [given, first] = job.epochs[epoch.epoch()].given.emplace(rank, session);
  if (!first) {
    Break(absl::StrCat(Name(epoch, rank), " went to ", given->second, " and to ", session));
  }
}

void Invariants::SentCommit(const v1::Commit& commit) {
  JobRecord& job = jobs_[commit.job().job_id()];
  const uint32_t epoch = commit.job().epoch();
  if (job.epochs.empty() || job.epochs.rbegin()->first != epoch) {
    return Break(absl::StrCat(Name(commit.job()), ": a commit is sent, but the newest epoch is ",
                              job.epochs.empty() ? 0 : job.epochs.rbegin()->first));
  }
  job.runs[job.epochs[epoch].run].commits_sent.insert(commit.round());
}

void Invariants::Published(const std::string& job, const v1::JobEvent& event) {
  const auto [seen, first] =
      jobs_[job].published.emplace(event.sequence(), HashOf(event.SerializeAsString()));
  if (!first) {
    Break(absl::StrCat("job ", job, ": readers see two events of sequence ", event.sequence()));
  }
}

void Invariants::Stored(const v1::Job& job) {
  JobRecord& record = jobs_[job.job_id()];
  const v1::JobStatus& status = job.status();
  const std::string who = absl::StrCat("job ", job.job_id());
  if (status.epoch() < record.stored_epoch) {
    Break(absl::StrCat(who, ": epoch ", status.epoch(), " after ", record.stored_epoch));
  }
  record.stored_epoch = status.epoch();
  if (record.gone) Break(absl::StrCat(who, ": is back after its deletion"));
  record.workers = job.spec().workers();
  record.has_trained |= status.workers() > 0;
  if (status.phase() == v1::JOB_PHASE_QUEUED) CheckQueued(&record, job);
  if (const int64_t reached = Reached(record); status.step() > reached) {
    Break(absl::StrCat(who, ": the status is at step ", status.step(),
                       ", but not every worker is beyond step ", reached));
  }
  if (workers_hold_ && record.stored_running && status.restarts() > record.stored_restarts) {
    Break(absl::StrCat(who, ": starts again, though no worker fails"));
  }
  record.stored_restarts = status.restarts();
  record.stored_running = status.phase() == v1::JOB_PHASE_RUNNING;
  if (record.final_status != 0 && record.final_status != HashOf(status.SerializeAsString())) {
    Break(absl::StrCat(who, ": changed after its end"));
  }
  if (status.phase() != record.last_phase) {
    Break(absl::StrCat(who, ": no event tells of phase ", v1::JobPhase_Name(status.phase())));
  }
  if (!IsFinal(status.phase())) return;
  record.final_status = HashOf(status.SerializeAsString());
  CheckEnd(record, job);
}

// A run that made room for one on all workers has left a checkpoint.
void Invariants::CheckQueued(JobRecord* record, const v1::Job& job) {
  const v1::Condition* why = FindCondition(job.status(), "Progressing");
  const v1::Condition* saved = FindCondition(job.status(), "CheckpointSaved");
  if (why == nullptr || why->reason() != "FullStrength") return;
  if (saved == nullptr || saved->status() != v1::CONDITION_STATUS_TRUE) {
    Break(absl::StrCat("job ", job.job_id(), ": makes room for more workers at step ",
                       job.status().step(), ", which is not saved"));
  }
  record->kept_step = job.status().step();
}

void Invariants::CheckEnd(const JobRecord& record, const v1::Job& job) {
  if (job.status().phase() == v1::JOB_PHASE_SUCCEEDED) return CheckSucceeded(record, job);
  const v1::Condition* completed = FindCondition(job.status(), "Completed");
  if (completed != nullptr && completed->reason() == "FailedPrecondition" &&
      !record.may_not_train) {
    Break(absl::StrCat("job ", job.job_id(), ": takes its own checkpoints for another job's"));
  }
  if (completed == nullptr || completed->reason() != "DeadlineExceeded") return;
  if (job.spec().deadline_seconds() == 0 || FromProto(job.end_time()) < DeadlineOf(job)) {
    Break(absl::StrCat("job ", job.job_id(), ": has missed a deadline that is still to come"));
  }
}

void Invariants::CheckSucceeded(const JobRecord& record, const v1::Job& job) {
  const v1::JobStatus& status = job.status();
  if (status.step() != status.total_steps()) {
    Break(absl::StrCat("job ", job.job_id(), ": succeeded at step ", status.step(), " of ",
                       status.total_steps()));
  }
  const JobSpec spec = FromProto(job.spec()).value_or(JobSpec{});
  for (int64_t step = 1; step <= status.total_steps(); ++step) {
    if (!ValidationDue(spec, step) || record.validated.contains(step)) continue;
    Break(absl::StrCat("job ", job.job_id(), ": succeeded, but no event tells of the validation",
                       " of step ", step));
  }
  if (status.weights_checksum().empty()) return;  // Another run had done the last step.
  for (const auto& [run, of_run] : record.runs) {
    const auto chain = of_run.chains.find(status.total_steps());
    if (chain == of_run.chains.end()) continue;
    if (absl::StrFormat("%016x", chain->second) == status.weights_checksum()) return;
  }
  Break(absl::StrCat("job ", job.job_id(), ": no worker holds weights of the job's checksum"));
}

void Invariants::StoredEvent(const std::string& job, const v1::JobEvent& event,
                             int64_t last_sequence) {
  if (event.has_status()) jobs_[job].last_phase = event.status().phase();
  if (event.has_validation()) jobs_[job].validated.insert(event.validation().step());
  if (event.sequence() == last_sequence + 1) return;
  Break(absl::StrCat("job ", job, ": event ", event.sequence(), " is stored after event ",
                     last_sequence));
}

void Invariants::CheckKept(const std::map<std::string, v1::Job>& stored) {
  for (const auto& [job, record] : jobs_) {
    if (!record.acknowledged || record.gone || stored.contains(job)) continue;
    Break(absl::StrCat("job ", job, ": was acknowledged, but the store has no such job"));
  }
}

void Invariants::Deleted(const v1::Job& job, absl::Time now) {
  JobRecord& record = jobs_[job.job_id()];
  if (record.final_status == 0 || now - FromProto(job.end_time()) < ended_ttl_) {
    Break(absl::StrCat("job ", job.job_id(), ": is deleted too early"));
  }
  record.gone = true;
}

void Invariants::CheckDue(const std::map<std::string, v1::Job>& stored, absl::Time due) {
  for (const auto& [id, job] : stored) {
    const JobRecord& record = jobs_[id];
    if (job.spec().deadline_seconds() > 0 && DeadlineOf(job) < due &&
        job.status().phase() == v1::JOB_PHASE_QUEUED) {
      Break(absl::StrCat("job ", id, ": is queued after its deadline"));
    }
    if (!record.cancelled || record.end_of_grace > due || IsFinal(job.status().phase())) continue;
    Break(absl::StrCat("job ", id, ": goes on after the grace period of its cancel"));
  }
}

void Invariants::RoundDone(const v1::JobEpoch& run, int32_t rank, int64_t round) {
  jobs_[run.job_id()].runs[run.epoch()].done[round].insert(rank);
}

void Invariants::Agree(const std::string& who, RunRecord* record, const JobWeights& weights) {
  if (weights.position != weights.step) {
    Break(absl::StrCat(who, ": at step ", weights.step, " it has consumed ", weights.position,
                       " batches"));
  }
  const auto [chain, first] = record->chains.emplace(weights.step, weights.chain);
  if (!first && chain->second != weights.chain) {
    Break(absl::StrCat(who, ": at step ", weights.step, " it holds other weights than another"));
  }
}

void Invariants::Stands(const v1::JobEpoch& run, int32_t rank, const JobWeights& weights) {
  JobRecord& job = jobs_[run.job_id()];
  job.runs[run.epoch()].standing[rank] = weights;
  if (job.may_not_train) {
    Break(absl::StrCat(Name(run, rank), ": stands at step ", weights.step,
                       " beside another job's checkpoints"));
  }
  if (weights.step < job.kept_step && run.epoch() == job.runs.rbegin()->first) {
    Break(absl::StrCat(Name(run, rank), ": begins at step ", weights.step, ", though step ",
                       job.kept_step, " was kept"));
  }
}

void Invariants::Committed(const v1::JobEpoch& run, int32_t rank, int64_t round,
                           const JobWeights& weights) {
  JobRecord& job = jobs_[run.job_id()];
  RunRecord& record = job.runs[run.epoch()];
  const std::string who = Name(run, rank);
  if (!record.commits_sent.contains(round)) {
    Break(absl::StrCat(who, ": commits round ", round, ", which the coordinator did not say"));
  }
  if (static_cast<int32_t>(record.done[round].size()) != record.workers) {
    Break(absl::StrCat(who, ": commits round ", round, ", done by ", record.done[round].size(),
                       " of ", record.workers, " workers"));
  }
  JobWeights& standing = record.standing[rank];
  if (weights.step != standing.step + 1) {
    Break(absl::StrCat(who, ": commits step ", weights.step, " after step ", standing.step));
  }
  // Where it began says nothing of the others before the coordinator has compared them.
  Agree(who, &record, standing);
  Agree(who, &record, weights);
  standing = weights;
  record.committed = weights.step;
  for (const auto& [other, of_other] : job.runs) {
    if (!workers_hold_ || other == run.epoch() || of_other.committed < weights.step) continue;
    Break(absl::StrCat(who, ": does step ", weights.step, " again, after the run of epoch ", other,
                       ", though no worker fails"));
  }
}

int64_t Invariants::Reached(const JobRecord& record) {
  int64_t reached = 0;
  for (const auto& [run, of_run] : record.runs) {
    int64_t least = std::numeric_limits<int64_t>::max();
    for (int32_t rank = 0; rank < of_run.workers; ++rank) {
      const auto standing = of_run.standing.find(rank);
      least = std::min(least, standing == of_run.standing.end() ? 0 : standing->second.step);
    }
    if (of_run.workers > 0) reached = std::max(reached, least);
  }
  return reached;
}

}  // namespace rally::simulation
