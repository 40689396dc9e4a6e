// MachineProfile: measures what a job's model takes on this machine, as a Profile.
//
// Kernel, layers, optimizer and transport are the real ones. Compute is measured while `processes`
// processes of `threads` threads do the same, since they share caches, memory and cores in a job
// too. Links and reductions are measured between two processes, the machine otherwise idle.
//
// Call once per process, before it has compute threads: it forks. Ends the copies whatever happens.
#ifndef RALLY_WORKERS_PROFILE_MACHINE_PROFILE_H_
#define RALLY_WORKERS_PROFILE_MACHINE_PROFILE_H_

#include <cstdint>
#include <functional>
#include <string>

#include <absl/status/statusor.h>

#include "scheduler/job_spec.h"
#include "scheduler/profile.h"

namespace rally {

struct MachineProfileOptions {
  std::string name;  // Of the profile: one word.
  JobSpec spec;      // Of which model, with its vocabulary, compute type and optimizer count.
  int32_t threads = 1;
  int32_t processes = 1;
  bool quick = false;  // Fewer points and samples.
  // Bandwidth across nodes, bytes per second; 0: across-nodes gets the times of same-node.
  double across_nodes = 0.0;
};

// `progress` gets a line per part that begins.
absl::StatusOr<Profile> MeasureMachine(const MachineProfileOptions& options,
                                       const std::function<void(const std::string&)>& progress);

}  // namespace rally

#endif  // RALLY_WORKERS_PROFILE_MACHINE_PROFILE_H_
