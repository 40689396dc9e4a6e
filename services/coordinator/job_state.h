// JobState: all the core knows of one job; Run: the part that lives while members hold it.
//
// Times are of the wall clock, or where they say "lived" of CoordinatorCore's clock of silence.
//
// Plain data, owned by the core, one thread.
#ifndef RALLY_SERVICES_COORDINATOR_JOB_STATE_H_
#define RALLY_SERVICES_COORDINATOR_JOB_STATE_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "proto/convert.h"
#include "rally/v1/cluster.pb.h"
#include "rally/v1/jobs.pb.h"
#include "scheduler/job_spec.h"
#include "scheduler/speed_correction.h"
#include "services/coordinator/event.h"

namespace rally {

// Whether the first `count` are there.
template <typename T>
bool AllPresent(const std::vector<std::optional<T>>& values, size_t count) {
  return std::all_of(values.begin(), values.begin() + static_cast<ptrdiff_t>(count),
                     [](const std::optional<T>& value) { return value.has_value(); });
}
template <typename T>
bool AllPresent(const std::vector<std::optional<T>>& values) {
  return AllPresent(values, values.size());
}

// A round whose plan the members have.
struct RoundProgress {
  PlannedRound planned;
  std::vector<std::optional<v1::RoundDone>> done;       // By rank.
  std::vector<std::optional<v1::Committed>> committed;  // By worker.
  bool commit_sent = false;
  // The pool has changed since its plan was sent: servers' reports may be missing, times mean
  // little.
  bool regrouped = false;

  // Whether everybody whose report is waited for is done.
  bool computed() const { return AllPresent(done, regrouped ? committed.size() : done.size()); }
};

// Why a run is being brought to an end at its next commit.
enum class StopReason : uint8_t { kNone, kCancel, kDeadline, kMemberLeaves, kFullStrength };

// How a run that makes no more rounds is to end, once its last checkpoint is on disk.
enum class RunEnd : uint8_t { kNone, kDone, kStopped };

// A job on its members: from Prepare to Release. Its workers stay the same; its attention servers
// may change, and the epoch with them.
struct Run {
  std::shared_ptr<const JobSpec> spec;  // The job's, with the workers of this run.
  uint32_t first_epoch = 0;
  uint32_t epoch = 0;                // Now. Messages of [first_epoch, epoch] are this run's.
  std::vector<std::string> members;  // By rank.
  bool single_host = false;
  absl::Time started;  // Lived.

  std::vector<std::optional<v1::Prepared>> prepared;  // By rank.
  std::vector<std::optional<v1::Ready>> ready;        // By rank.
  bool connected = false;                             // Connect was sent.
  bool running = false;                               // Everybody is ready.

  // Rounds: at most two plans are with the members, the current one and one ahead; at most one more
  // is asked for or in hand.
  std::deque<RoundProgress> sent;
  std::optional<PlannedRound> in_hand;
  bool requested = false;
  std::optional<RoundKey> next;  // To be asked for.
  DataPosition position;         // Where the batch of the next training plan begins.

  // Change of the pool: `regrouping` from Regroup to Connect. `resumed`: the front round's plan is
  // being made anew. `pool_due`: the pool is to change when the round ends.
  bool regrouping = false;
  absl::Time regroup_began;  // Lived.
  std::optional<RoundKey> resumed;
  bool pool_due = false;
  bool adopted = false;  // From the coordinator before: its rounds are still to be heard of.
  std::optional<absl::Time> trouble_since;  // Lived; a member misses something.
  int32_t pool_failures = 0;                // Transports that have failed in this round.

  bool progressed = false;  // A step was committed.
  StopReason stop = StopReason::kNone;
  bool closing = false;        // The commit that ends the run was sent: no more plans.
  RunEnd end = RunEnd::kNone;  // The last round is over.
  absl::Time last_round_end;   // Or the first round's beginning.
  absl::Time waiting_since;    // Lived; the same moment.
  absl::Duration last_step;    // That the last training step took; zero before there is one.
  SpeedCorrection speeds;      // Of the members' core attention, as measured in committed steps.

  // Checkpoints: at most one is being written; the next one due waits for it.
  std::optional<int64_t> saving;                     // Step that was asked for last.
  std::optional<int64_t> overdue;                    // Step whose checkpoint is put off.
  int64_t saving_due = 0;                            // Step at which `saving` was due.
  std::optional<v1::CheckpointWritten> saved_early;  // Before all had committed its step.
  v1::CheckpointWritten last_save;                   // The last report of one asked for.

  // Whether it ends whatever becomes of its last checkpoint. One that ends for full strength goes
  // on when that fails.
  bool surely_ends() const {
    return end == RunEnd::kDone || (closing && stop != StopReason::kFullStrength);
  }
  int32_t ranks() const { return static_cast<int32_t>(members.size()); }
  int32_t servers() const { return ranks() - spec->workers; }
};

// A job that ran when the coordinator stopped: its members may come back with it.
struct Adoption {
  std::shared_ptr<const JobSpec> spec;     // Of the run.
  absl::Time deadline;                     // Lived.
  absl::Time last_hello;                   // Lived.
  std::map<int32_t, std::string> members;  // By rank: those that are back.
};

struct JobState {
  v1::Job job;                          // What is persisted and shown.
  std::shared_ptr<const JobSpec> spec;  // job.spec, with the vocabulary set.
  int64_t last_sequence = 0;            // Of its events.
  std::string checkpoint_place;         // Its alone until it ends. Empty: it writes none.
  std::optional<Run> run;
  std::optional<Adoption> adoption;            // Only without a run.
  std::optional<absl::Time> cancel_deadline;   // Lived.
  absl::Time queued_since;                     // Lived; last.
  int32_t fruitless_runs = 0;                  // In a row: failed without a committed step.
  absl::Time retry_at = absl::InfinitePast();  // Not started before: back-off.

  bool status_changed = false;  // Phase or conditions changed: an event, too.
};

// The spec of a run on so many workers; 0: as many as the job wants.
inline std::shared_ptr<const JobSpec> WithWorkers(const JobState& state, int32_t workers) {
  if (workers == 0 || workers == state.spec->workers) return state.spec;
  auto spec = std::make_shared<JobSpec>(*state.spec);
  spec->workers = workers;
  return spec;
}

// When the job must have ended.
inline absl::Time DeadlineOf(const JobState& state) {
  if (state.spec->deadline_seconds == 0) return absl::InfiniteFuture();
  return FromProto(state.job.create_time()) + absl::Seconds(state.spec->deadline_seconds);
}

// Of its run, now.
inline v1::JobEpoch EpochOf(const JobState& state) {
  v1::JobEpoch epoch;
  epoch.set_job_id(state.job.job_id());
  epoch.set_epoch(state.run->epoch);
  return epoch;
}

// A round's plan for the members of its run.
inline v1::CoordinatorMessage PlanMessageOf(const JobState& state, const PlannedRound& round) {
  v1::CoordinatorMessage message;
  *message.mutable_plan()->mutable_job() = EpochOf(state);
  *message.mutable_plan()->mutable_plan() = *round.plan;
  return message;
}

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_JOB_STATE_H_
