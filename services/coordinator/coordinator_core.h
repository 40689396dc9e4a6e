// CoordinatorCore: the cluster's brain, a pure state machine.
//
// Apply takes one event and the time and gives the actions to be done, in order. There is no clock,
// socket, file or thread inside, so a whole cluster with its faults can be played in one thread.
//
// Life of a job: queued -> starting (Prepare, Connect) -> running (rounds) -> succeeded, failed or
// cancelled. An infrastructure failure or a leaving worker puts it back to queued under a new
// epoch; it continues from its own newest checkpoint, on fewer workers when the job lets it and
// lost ones are not replaced (core_queue.cc). Attention servers of a running job come and
// go: the epoch changes, the plan of the round under way is laid over those that are there, and the
// round goes on (core_pool.cc).
//
// A coordinator that was restarted waits for the members of the jobs that ran, and goes on with
// those whose workers all come back, without losing a step (core_adoption.cc).
//
// Queue: by priority, then by time of submission, strictly: a job that cannot be placed holds back
// every job behind it, so that a large job is never starved by small ones. Placement is all or
// nothing (placement.h). A job whose last run failed before it made a step is tried again after 1
// s, then 2, 4 ... 60 s, and holds nobody back meanwhile. A member that has failed is left out of
// the choice in the same way, unless a job that starts needs it.
//
// Jobs that have not ended have each a checkpoint directory of their own: two in one would take
// each other's checkpoints for theirs.
//
// A job past its deadline is stopped as by a cancel, and has failed.
//
// Others' silence is counted in the time that the core itself has lived through: what lies between
// two events counts no more than CoreOptions::longest_gap. Whoever could not speak since the
// coordinator stood still, or its clock was set, has not been silent.
//
// Messages of another epoch than the member holds are dropped.
//
// Jobs that have ended are kept as history; the oldest of them go when there are more than
// CoreOptions::ended_jobs, or after CoreOptions::ended_ttl. The id of a job that has gone may be
// used again.
//
// Thread-compatible: one caller at a time.
#ifndef RALLY_SERVICES_COORDINATOR_COORDINATOR_CORE_H_
#define RALLY_SERVICES_COORDINATOR_COORDINATOR_CORE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

#include "services/coordinator/event.h"
#include "services/coordinator/job_state.h"
#include "services/coordinator/member_table.h"

namespace rally {

struct CoreOptions {
  absl::Duration heartbeat_interval = absl::Milliseconds(200);  // Told to members in Welcome.
  absl::Duration member_timeout = absl::Seconds(10);  // Silence after which a member is lost,
  // and after which an attention server is that something is missed of.
  absl::Duration server_timeout = absl::Milliseconds(600);
  absl::Duration start_timeout = absl::Minutes(10);   // From Prepare to everybody ready.
  absl::Duration release_timeout = absl::Minutes(1);  // From Release to Released.
  // From one round's end to the next one's, planning included. A worker that stalls while its
  // heartbeats go on is found by this alone.
  absl::Duration round_timeout = absl::Minutes(15);
  absl::Duration regroup_timeout = absl::Seconds(5);    // For a server to be ready for a new pool.
  absl::Duration adoption_timeout = absl::Seconds(30);  // For a job's workers to come back.
  int64_t ended_jobs = 1000;                            // Jobs that have ended and are still known.
  absl::Duration ended_ttl = absl::Hours(30 * 24);      // And how long they are.
  // Between two events, ticks among them: more is the coordinator's own standing still.
  absl::Duration longest_gap = absl::Milliseconds(150);
  // Transports that may fail in one round without a member being lost, before the job starts anew.
  int32_t pool_failures = 5;
  // A secret for an epoch's data plane (Connect::secret). None: its addresses are the secret.
  std::function<std::string()> make_secret;
};

class CoordinatorCore {
 public:
  explicit CoordinatorCore(const CoreOptions& options) : options_(options) {}

  std::vector<Action> Apply(const Event& event, absl::Time now);

  const std::map<std::string, JobState>& jobs() const { return jobs_; }
  const MemberTable& members() const { return members_; }

 private:
  // coordinator_core.cc: requests, time.
  void On(const Recover& event);
  void On(const SubmitJob& event);
  void On(const CancelJob& event);
  void On(const ListProcesses& event);
  void On(const Tick& event);
  void CheckTimeouts(JobState* state);
  void CheckDeadline(JobState* state);
  void Flush();

  // core_queue.cc: which jobs start when, and on how many workers.
  void Schedule();
  bool MayStart(const JobState& state) const;
  std::shared_ptr<const JobSpec> NextSpec(const JobState& state) const;
  bool CanGrow(const JobState& state, int64_t step) const;
  void StartRun(JobState* state, std::shared_ptr<const JobSpec> spec,
                const std::vector<std::string>& members, bool single_host);
  // Gives the member its rank in the job's run, and tells it.
  void Prepare(JobState* state, int32_t rank);

  // core_members.cc: members coming, going and failing.
  void On(const MemberHello& event);
  void On(const MemberLost& event);
  void On(const MemberSaid& event);
  void OnLogs(const Member& member, const v1::LogBatch& message);
  void OnLeaving(Member* member);
  bool WorkerLeaves(const Run& run);
  void OnReleased(Member* member, const v1::Released& message);
  void OnFailed(Member* member, JobState* state, const v1::MemberFailed& message);
  void Lose(const std::string& member_id, absl::string_view reason);

  // core_rounds.cc: a run from Prepared to its last round.
  void OnPrepared(const Member& member, JobState* state, const v1::Prepared& message);
  void SendConnect(JobState* state);
  void OnReady(const Member& member, JobState* state, const v1::Ready& message);
  void BeginRounds(JobState* state);
  void On(const PlanReady& event);
  void On(const PlanFailed& event);
  void Pump(JobState* state);
  void SendPlan(JobState* state);
  void OnRoundDone(const Member& member, JobState* state, const v1::RoundDone& message);
  void OnCommitted(const Member& member, JobState* state, const v1::Committed& message);
  void Advance(JobState* state);
  bool AdvanceTraining(JobState* state);
  void SendCommit(JobState* state, RoundProgress* round);
  bool FinishStep(JobState* state, const RoundProgress& round);
  void FinishValidation(JobState* state, const RoundProgress& round);
  void FinishRound(JobState* state);
  void MarkRoundEnd(Run* run);

  // core_pool.cc: the attention servers of a running job.
  // Whether the job can do with other attention servers than it has, at any moment from now on.
  static bool CanChangePool(const JobState& state);
  void ChangePool(JobState* state, absl::string_view reason);
  std::vector<std::string> NextPool(JobState* state);
  void TellPool(JobState* state, absl::string_view reason);
  void ShowPool(JobState* state, absl::string_view reason);
  bool AwaitsServers(const JobState& state) const;
  bool CanServe(const Member& member) const;
  void FillPools();
  void OnStanding(const Member& member, JobState* state, const v1::Prepared& message);
  void ResumeRounds(JobState* state);
  void ConnectPool(JobState* state);
  void OnTrouble(const Member& member, JobState* state, const v1::Trouble& message);
  void LoseSilentServers(JobState* state);

  // core_adoption.cc: jobs that ran when the coordinator stopped.
  void BeginAdoption(JobState* state);
  bool TakeBack(Member* member, const v1::Hello& hello);
  void ForgetAdopted(const std::string& member_id);
  void ContinueAdoption(JobState* state);
  void EndAdoption(JobState* state, absl::string_view reason);
  bool RebuildRounds(JobState* state);
  void RebuildSaves(JobState* state);

  // core_jobs.cc: checkpoints; how runs and jobs end.
  // Whether the commit of `step` is to write a checkpoint; notes it. `last`: of the run.
  bool TakeCheckpoint(JobState* state, int64_t step, bool last);
  void OnCheckpointWritten(JobState* state, const v1::CheckpointWritten& message);
  // Ends a run that makes no more rounds, once its last checkpoint is written.
  void EndWhenSaved(JobState* state);
  void TakeBackStop(JobState* state);
  void EndDone(JobState* state);
  void EndStopped(JobState* state);
  void EndRun(JobState* state, bool abort, absl::string_view reason);
  void Requeue(JobState* state, absl::string_view reason, absl::string_view message);
  // The run is over for a reason that is not the job's: once more, or fail.
  void Interrupt(JobState* state, absl::string_view reason, absl::string_view message);
  void FinishJob(JobState* state, v1::JobPhase phase, absl::string_view reason,
                 absl::string_view message);
  void FailOverdue(JobState* state);
  void DeleteOldest();
  void SetPhase(JobState* state, v1::JobPhase phase);
  void Set(JobState* state, absl::string_view type, bool value, absl::string_view reason,
           absl::string_view message);
  void AppendEvent(JobState* state, v1::JobEvent event);
  void Touch(JobState* state);

  void Send(const Member& member, v1::CoordinatorMessage message);
  void SendToRun(const Run& run, int32_t ranks, v1::CoordinatorMessage message);
  void ReleaseMember(Member* member, bool abort, absl::string_view reason);
  // The job whose current run the member is part of under `epoch`; null when the message is stale.
  JobState* Current(const Member& member, const v1::JobEpoch& epoch);

  CoreOptions options_;
  std::map<std::string, JobState> jobs_;
  std::set<std::string> active_;                        // Jobs that have not ended.
  std::map<std::string, std::string> savers_;           // Of these, by checkpoint_place.
  std::set<std::pair<absl::Time, std::string>> ended_;  // The others, by the time of their end.
  MemberTable members_;

  // Of the last event. `lived_` counts silence (see above) from an arbitrary beginning.
  absl::Time now_;
  absl::Time lived_;

  // Only during Apply.
  std::set<std::string> dirty_;
  std::vector<Action> persistent_;  // Done before `visible_`.
  std::vector<Action> visible_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_COORDINATOR_CORE_H_
