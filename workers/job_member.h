// JobMember: one member's part in one epoch of a job, from Prepare to its destruction.
//
// The calls follow the control protocol (proto/rally/v1/cluster.proto): Prepare, Connect, then for
// every plan RunRound and, for training plans of model workers, Commit. Answers are the protocol's
// messages without their job epoch.
//
// Threads: one caller at a time, always the same thread, for destruction too. Another thread stops
// a blocked call through the abort switch. What MemberResources points to is borrowed.
//
// Errors: after the first one only destruction is allowed. Codes are the protocol's:
// FailedPrecondition, InvalidArgument, NotFound, DataLoss and OutOfRange are the job's own fault,
// others the cluster's.
#ifndef RALLY_WORKERS_JOB_MEMBER_H_
#define RALLY_WORKERS_JOB_MEMBER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "rally/v1/cluster.pb.h"
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
  absl::Duration phase_timeout;
  Outbox* outbox = nullptr;  // For what a member says unasked; null: nobody listens.
};

// The assignment of one epoch, checked.
struct JobAssignment {
  JobSpec spec;
  std::string job_id;
  uint32_t epoch = 0;
  int32_t rank = 0;
  bool single_host = false;
  bool restore = false;  // From the job's own checkpoint, if there is one.
};

// InvalidArgument when the spec or the rank is not acceptable to a member of `role`.
absl::StatusOr<JobAssignment> ReadAssignment(const v1::Prepare& prepare, v1::MemberRole role);

class JobMember {
 public:
  JobMember(const MemberResources& resources, JobAssignment assignment, AbortSwitch* abort)
      : resources_(resources), assignment_(std::move(assignment)), abort_(*abort) {}
  virtual ~JobMember();

  absl::StatusOr<v1::Prepared> Prepare();
  absl::StatusOr<v1::Ready> Connect(const v1::Connect& connect);
  // Takes the plan's wire form: converts it, proves it, runs it.
  absl::StatusOr<v1::RoundDone> RunRound(const v1::Plan& message);
  // Only after a training plan: see AwaitsCommit.
  virtual absl::StatusOr<v1::Committed> Commit(bool checkpoint) = 0;

  // Whether the last round is to be committed.
  virtual bool AwaitsCommit() const = 0;

 protected:
  virtual absl::Status PrepareRole(v1::Prepared* prepared) = 0;
  virtual absl::Status ConnectRole(const v1::Connect& connect, v1::Ready* ready) = 0;
  virtual absl::Status RunPlan(std::shared_ptr<const Plan> plan, v1::RoundDone* done) = 0;

  const MemberResources resources_;
  const JobAssignment assignment_;
  AbortSwitch& abort_;
  std::unique_ptr<Transport> transport_;     // After Prepare.
  std::unique_ptr<AttentionServer> server_;  // After Connect.

 private:
  absl::StatusOr<std::unique_ptr<Transport>> OpenTransport() const;
  absl::StatusOr<Plan> ReadPlan(const v1::Plan& message) const;

  int64_t next_round_ = 0;
};

std::unique_ptr<JobMember> MakeModelMember(const MemberResources& resources,
                                           JobAssignment assignment, AbortSwitch* abort);
std::unique_ptr<JobMember> MakeAttentionMember(const MemberResources& resources,
                                               JobAssignment assignment, AbortSwitch* abort);
// Of a paced job, in either role: emulates its device.
std::unique_ptr<JobMember> MakePacedMember(const MemberResources& resources,
                                           JobAssignment assignment, AbortSwitch* abort);

}  // namespace rally

#endif  // RALLY_WORKERS_JOB_MEMBER_H_
