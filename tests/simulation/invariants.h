// Invariants: what must hold of a cluster whatever goes wrong, checked as things happen.
//
//   - An epoch of a job is given out once: every rank of it to one session. An epoch begins a run,
//   or
//     goes on with the newest one over another pool, whose workers stay. No run is begun of a job
//     whose cancel was acknowledged. No commit is sent of an epoch once a newer one was begun.
//   - A run has as many workers as its job wants, or as many as it allows and only when the job has
//     trained before and a worker may have failed. A job that starts anew to have all its workers
//     goes on where it stood.
//   - A member is given an epoch only when it holds none.
//   - A worker commits a step only when the coordinator has sent that commit in the worker's run
//   and
//     every worker has done the round; steps follow one another without gap or repeat from where
//     the worker's checkpoint stood, and so does the data position. All workers of a run hold the
//     same weights.
//   - Where no worker fails, no job that runs starts again and no step is done again.
//   - A job's status never names a step that not every worker has, and a job that has succeeded has
//     all its steps, and has told of every validation that was due. A job that has ended stays as
//     it is. Epochs do not go back.
//   - A job that is not to continue from the checkpoints that it finds never trains beside them.
//   - Events count 1, 2, 3 ... and what a reader has seen of them stays. They tell every phase.
//   - A job that was acknowledged ends, with nothing left behind at any member, once the faults
//   have
//     stopped (the simulation's own check), and is known for as long after as the coordinator was
//     told. One whose cancel was acknowledged has ended with its grace period, if there is a
//     coordinator. One that misses its deadline has ended no earlier, and does not stay queued.
//
// The first breach is kept. One thread.
#ifndef RALLY_TESTS_SIMULATION_INVARIANTS_H_
#define RALLY_TESTS_SIMULATION_INVARIANTS_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include <absl/time/time.h>

#include "rally/v1/cluster.pb.h"
#include "rally/v1/jobs.pb.h"
#include "tests/simulation/job_weights.h"

namespace rally::simulation {

class Invariants {
 public:
  bool hold() const { return breach_.empty(); }
  const std::string& breach() const { return breach_; }
  int64_t weaker_runs() const { return weaker_runs_; }
  void Break(const std::string& what) {
    if (breach_.empty()) breach_ = what;
  }

  // ---- Clients ----
  void SubmitAcknowledged(const std::string& job) { jobs_[job].acknowledged = true; }
  // Its directory holds another job's checkpoints, and it was not told to continue from them.
  void MayNotTrain(const std::string& job) { jobs_[job].may_not_train = true; }
  void CancelAcknowledged(const std::string& job, absl::Time end_of_grace) {
    jobs_[job].cancelled = true;
    jobs_[job].end_of_grace = end_of_grace;
  }

  // ---- The coordinator ----
  // `session` is of this coordinator process; `process` counts them.
  void Sent(int process, uint64_t session, const v1::CoordinatorMessage& message);
  // Readers of the job's events may see this one from now on.
  void Published(const std::string& job, const v1::JobEvent& event);

  // ---- The store ----
  void Stored(const v1::Job& job);
  void StoredEvent(const std::string& job, const v1::JobEvent& event, int64_t last_sequence);
  // What the store holds: every acknowledged job is there.
  void CheckKept(const std::map<std::string, v1::Job>& stored);
  // And what had to end by `due` has.
  void CheckDue(const std::map<std::string, v1::Job>& stored, absl::Time due);
  // What the coordinator was told: how long a job that has ended is kept.
  void KeepFor(absl::Duration time) { ended_ttl_ = time; }
  void Deleted(const v1::Job& job, absl::Time now);
  bool gone(const std::string& job) const {
    const auto found = jobs_.find(job);
    return found != jobs_.end() && found->second.gone;
  }

  // ---- Faults ----
  // Only the coordinator and attention servers do.
  void NoWorkerFails() { workers_hold_ = true; }

  // ---- Workers. `run` is the first epoch of theirs ----
  void RoundDone(const v1::JobEpoch& run, int32_t rank, int64_t round);
  // Where a worker stands when it is ready.
  void Stands(const v1::JobEpoch& run, int32_t rank, const JobWeights& weights);
  void Committed(const v1::JobEpoch& run, int32_t rank, int64_t round, const JobWeights& weights);

 private:
  struct RunRecord {
    int32_t workers = 0;
    std::map<int64_t, std::set<int32_t>> done;  // By round: workers.
    std::set<int64_t> commits_sent;             // Rounds.
    std::map<int32_t, JobWeights> standing;     // By worker.
    std::map<int64_t, uint64_t> chains;         // By step: what the first worker held.
    int64_t committed = 0;                      // The last step.
  };
  struct EpochRecord {
    uint32_t run = 0;                      // Its first epoch.
    std::map<int32_t, std::string> given;  // By rank: the session it went to.
  };
  struct JobRecord {
    bool acknowledged = false;
    bool cancelled = false;
    bool may_not_train = false;
    absl::Time end_of_grace;
    v1::JobPhase last_phase = v1::JOB_PHASE_UNSPECIFIED;  // That an event has told.
    std::map<uint32_t, EpochRecord> epochs;
    std::map<uint32_t, RunRecord> runs;     // By first epoch.
    std::map<int64_t, uint64_t> published;  // By sequence: the event's hash.
    uint32_t stored_epoch = 0;
    int32_t stored_restarts = 0;
    bool stored_running = false;
    uint64_t final_status = 0;  // Its hash, once the job has ended.
    int32_t workers = 0;        // That it wants.
    bool has_trained = false;
    std::set<int64_t> validated;  // Steps whose validation an event has told.
    int64_t kept_step = 0;        // No run begins before it any more.
    bool gone = false;            // Deleted.
  };

  void SentPrepare(const std::string& session, const v1::Prepare& prepare);
  void CheckStrength(const std::string& who, const JobRecord& job, const v1::JobSpec& spec);
  void SentRegroup(const std::string& session, const v1::Regroup& regroup);
  void Give(const v1::JobEpoch& epoch, int32_t rank, const std::string& session);
  void SentCommit(const v1::Commit& commit);
  void Agree(const std::string& who, RunRecord* record, const JobWeights& weights);
  void CheckQueued(JobRecord* record, const v1::Job& job);
  void CheckEnd(const JobRecord& record, const v1::Job& job);
  void CheckSucceeded(const JobRecord& record, const v1::Job& job);
  // The step that every worker of some run has reached.
  static int64_t Reached(const JobRecord& record);

  std::string breach_;
  bool workers_hold_ = false;
  int64_t weaker_runs_ = 0;  // On fewer workers than the job wants.
  absl::Duration ended_ttl_ = absl::InfiniteDuration();
  std::map<std::string, JobRecord> jobs_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_INVARIANTS_H_
