// Fault: something that `rally chaos` does to a job's surroundings.
//
// Made ready first, so that what cannot be done is said before anything is struck. One thread.
#ifndef RALLY_SERVICES_CLI_FAULT_H_
#define RALLY_SERVICES_CLI_FAULT_H_

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "rally/v1/jobs.pb.h"
#include "services/cli/interruption.h"

namespace rally {

enum class FaultKind : uint8_t { kKill, kStop, kSlow, kDrop, kPartition, kFillDisk };

struct FaultPlan {
  FaultKind kind = FaultKind::kKill;
  // Whom it strikes; unspecified for kFillDisk.
  v1::ProcessRole role = v1::PROCESS_ROLE_UNSPECIFIED;
  absl::Duration duration;   // Until it is undone; not of kKill.
  bool respawn = false;      // kKill: start the same again.
  double slowdown = 10;      // kSlow: the victim runs one part in so many of the time.
  double percent = 5;        // kDrop: of the packets, lost.
  int64_t leave_bytes = 0;   // kFillDisk: left free.
  bool on_root_too = false;  // kFillDisk: even on the root file system.
};

class Fault {
 public:
  virtual ~Fault() = default;

  // Strikes, holds for the plan's duration or until interrupted, undoes. Nothing of it is left on
  // return, whatever it returns; with kKill, what was killed is. OK when interrupted.
  virtual absl::Status Run(const Interruption& interruption) = 0;
  // Of the process that took the victim's place; 0: there is none.
  virtual pid_t respawned() const { return 0; }
};

// Unavailable when the victim has ended meanwhile, FailedPrecondition when this fault cannot be
// done to it.
absl::StatusOr<std::unique_ptr<Fault>> MakeProcessFault(const FaultPlan& plan,
                                                        const v1::Process& victim);

// `directory`: the job's checkpoint directory, whose file system is filled. It need not exist yet.
absl::StatusOr<std::unique_ptr<Fault>> MakeDiskFault(const FaultPlan& plan,
                                                     const std::string& directory);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_FAULT_H_
