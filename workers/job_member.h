// JobMember: one member's part in one epoch of a job, from Prepare to its destruction.
//
// The calls follow the control protocol (proto/rally/v1/cluster.proto): Prepare, Connect, then for
// every plan RunRound and, for training plans of model workers, Commit. Answers are the protocol's
// messages without their job epoch.
//
// The attention servers may change at any time: Regroup, then Connect, between rounds, or within
// RunRound of a model worker, which calls PoolFeed::AwaitPlan when its transport fails. An
// attention server's RunRound fails with its transport, and what it was at is dropped
// (StatusIsOfPool).
//
// Threads: one caller at a time, always the same thread, for destruction too. Another thread stops
// a blocked call through the abort switches: `abort` for all, `pool` for what travels between this
// epoch's members. What MemberResources points to is borrowed.
//
// Errors: after the first one only destruction is allowed. Codes are the protocol's:
// FailedPrecondition, InvalidArgument, NotFound, DataLoss and OutOfRange are the job's own fault,
// others the cluster's.
#ifndef RALLY_WORKERS_JOB_MEMBER_H_
#define RALLY_WORKERS_JOB_MEMBER_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "rally/v1/cluster.pb.h"
#include "scheduler/collected_phases.h"
#include "scheduler/job_spec.h"
#include "scheduler/plan.h"
#include "workers/abort_switch.h"
#include "workers/attention/attention_kernel.h"
#include "workers/attention/attention_server.h"
#include "workers/outbox.h"
#include "workers/transport/buffer.h"
#include "workers/transport/transport.h"

namespace rally {

// What a member process brings to every job.
struct MemberResources {
  AttentionKernel* kernel = nullptr;
  BufferPool* pool = nullptr;
  int32_t threads = 0;          // Compute threads; 0: all usable cores.
  std::string advertise_host;   // Where other members reach this process.
  std::string transports;       // UCX_TLS; empty: by the job's placement.
  std::string network_devices;  // UCX_NET_DEVICES; empty: the same.
  bool checksums = true;        // Of what is sent to other members.
  absl::Duration phase_timeout;
  Outbox* outbox = nullptr;  // For what a member says unasked; null: nobody listens.
};

// The assignment of one epoch, checked.
struct JobAssignment {
  JobSpec spec;
  std::string job_id;
  uint32_t epoch = 0;
  int32_t rank = 0;
  int32_t ranks = 0;  // At most the spec's: attention servers may be missing.
  bool single_host = false;
  bool restore = false;         // From the job's own checkpoint, if there is one.
  int64_t checkpoint_step = 0;  // Of the newest that is known to be there; 0: none is.
};

// What stops a member's calls from another thread.
struct MemberSwitches {
  AbortSwitch* abort = nullptr;
  std::shared_ptr<AbortSwitch> pool;  // The first epoch's.
};

// How a member within a round hears of another pool.
class PoolFeed {
 public:
  virtual ~PoolFeed() = default;

  // Something is late: tells the coordinator, and returns at once.
  virtual void ReportTrouble(const std::string& what) = 0;

  // The transport has failed with `cause` and nothing uses it any more. Passes Regroup and Connect
  // on to the member, whose standing is given, and returns the plan of the round that goes on; none
  // when it needs nothing more. Cancelled when the epoch ends, `cause` when no other pool comes.
  virtual absl::StatusOr<std::optional<v1::PlanMessage>> AwaitPlan(
      const absl::Status& cause, const v1::Standing& standing) = 0;
};

// Whether an error may be one of the pool's other members, which a change of the pool mends.
bool StatusIsOfPool(const absl::Status& status);

// InvalidArgument when the spec or the rank is not acceptable to a member of `role`.
absl::StatusOr<JobAssignment> ReadAssignment(const v1::Prepare& prepare, v1::MemberRole role);

class JobMember {
 public:
  JobMember(const MemberResources& resources, JobAssignment assignment, MemberSwitches switches,
            PoolFeed* feed)
      : resources_(resources),
        assignment_(std::move(assignment)),
        abort_(*switches.abort),
        feed_(*feed),
        pool_(std::move(switches.pool)) {}
  virtual ~JobMember();

  absl::StatusOr<v1::Prepared> Prepare();
  absl::StatusOr<v1::Ready> Connect(const v1::Connect& connect);
  // Gives up the pool and what travels in it, for one under another epoch. `pool` is the new
  // switch.
  absl::StatusOr<v1::Prepared> Regroup(const v1::Regroup& regroup,
                                       std::shared_ptr<AbortSwitch> pool);
  // Takes the plan's wire form: converts it, proves it, runs it.
  absl::StatusOr<v1::RoundDone> RunRound(const v1::PlanMessage& message);
  // Only after a training plan: see AwaitsCommit.
  virtual absl::StatusOr<v1::Committed> Commit(bool checkpoint) = 0;

  // Whether the last round is to be committed.
  virtual bool AwaitsCommit() const = 0;

  // Adds what a coordinator that was restarted should know of this member, and the runner does not.
  virtual void AddReport(v1::Standing* /*standing*/) const {}

  // The next round to begin.
  int64_t next_round() const { return next_round_; }

 protected:
  virtual absl::Status PrepareRole(v1::Prepared* prepared) = 0;
  virtual absl::Status ConnectRole(const v1::Connect& connect, v1::Ready* ready) = 0;
  virtual absl::Status RunPlan(std::shared_ptr<const Plan> plan, const CollectedPhases& collected,
                               v1::RoundDone* done) = 0;
  // The pool has changed between rounds: transport_ and server_ are new.
  virtual void UsePool() {}

  // Gives up server and transport: nothing moves through any buffer after it.
  void LeavePool();
  // Proves it, and that it is for this epoch's members.
  absl::StatusOr<Plan> ReadPlan(const v1::Plan& message) const;
  // A message damaged on its way, or of another size, is not the job's fault but the cluster's.
  absl::Status BlameCluster(const absl::Status& status) const;
  absl::StatusOr<CollectedPhases> ReadCollected(const v1::PlanMessage& message) const;

  const MemberResources resources_;
  JobAssignment assignment_;  // Epoch, rank and ranks change with the pool.
  AbortSwitch& abort_;
  PoolFeed& feed_;
  std::unique_ptr<Transport> transport_;     // After Prepare.
  std::unique_ptr<AttentionServer> server_;  // After Connect.

 private:
  absl::StatusOr<v1::Prepared> OpenTransport();
  absl::StatusOr<std::unique_ptr<Transport>> MakeTransport() const;

  std::shared_ptr<AbortSwitch> pool_;
  bool connected_ = false;  // Once: later Connects are of other pools.
  int64_t next_round_ = 0;
  int64_t bytes_before_round_ = 0;  // Sent by transport_.
};

// Of one assignment. `switches` and `feed` outlive the member.
using MakeJobMember = std::unique_ptr<JobMember>(const MemberResources& resources,
                                                 JobAssignment assignment, MemberSwitches switches,
                                                 PoolFeed* feed);
MakeJobMember MakeModelMember;
MakeJobMember MakeAttentionMember;
MakeJobMember MakePacedMember;  // Of a paced job, in either role: emulates its device.

}  // namespace rally

#endif  // RALLY_WORKERS_JOB_MEMBER_H_
