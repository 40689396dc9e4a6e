// A whole cluster with its faults, played in one thread from one seed.
//
// The real core of the coordinator (services/coordinator/coordinator_core.h) runs in a shell over a
// store in memory, among members and clients that speak the real protocol by script, over a network
// and on machines that fail. Equal seeds give equal runs to the last event. What must hold is in
// invariants.h, what goes wrong in faults.h.
#ifndef RALLY_TESTS_SIMULATION_CLUSTER_SIMULATION_H_
#define RALLY_TESTS_SIMULATION_CLUSTER_SIMULATION_H_

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>

#include <absl/time/time.h>

#include "tests/simulation/parts.h"

namespace rally::simulation {

struct SimulationResult {
  std::string breach;  // Of what must hold; empty: none.
  uint64_t trace_hash = 0;
  std::string last_lines;  // Of the trace.
  int64_t events = 0;
  absl::Duration simulated;
  absl::Duration unrest;  // From the end of the faults to the end of the last job.
  int64_t coordinator_processes = 0;
  int64_t member_processes = 0;
  int64_t epochs = 0;                      // Of all jobs.
  int64_t pool_changes = 0;                // Of all jobs.
  int64_t weaker_runs = 0;                 // Begun on fewer workers than the job wants.
  int64_t deleted = 0;                     // Jobs, some time after their end.
  std::map<std::string, int64_t> ends;     // Jobs by phase.
  std::map<std::string, int64_t> reasons;  // Of jobs that were queued again or ended.
};

// `trace_lines` at most are in the result.
SimulationResult SimulateCluster(uint64_t seed, const Parts& parts, size_t trace_lines);

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_CLUSTER_SIMULATION_H_
