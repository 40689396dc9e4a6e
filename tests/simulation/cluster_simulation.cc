#include "tests/simulation/cluster_simulation.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "rally/v1/jobs.pb.h"
#include "tests/simulation/crash_report.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/simulated_cluster.h"
#include "tests/simulation/world.h"

namespace rally::simulation {
namespace {

// What a cluster may take to come to rest when nothing goes wrong any more.
constexpr absl::Duration kPatience = absl::Minutes(15);
constexpr absl::Duration kLookAround = absl::Milliseconds(500);

}  // namespace

SimulationResult SimulateCluster(uint64_t seed, const Parts& parts, size_t trace_lines) {
  World world(seed, trace_lines);
  const CrashReport report(seed, &world.trace);
  SimulatedCluster cluster(&world, parts);
  FaultInjector injector(&world, &cluster);
  const absl::Time quiet =
      world.timeline.now() + world.random.Between(absl::Seconds(5), absl::Seconds(40));
  injector.Start(quiet);
  cluster.Start();
  SimulationResult result;
  absl::Time next_look = world.timeline.now();
  while (world.invariants.hold() && world.timeline.Step()) {
    ++result.events;
    if (world.timeline.now() < next_look) continue;
    next_look = world.timeline.now() + kLookAround;
    cluster.Check();
    if (cluster.AtRest()) break;
    if (world.timeline.now() > quiet + kPatience) {
      world.invariants.Break(absl::StrCat("no rest after the faults: ", cluster.Unrest()));
    }
  }
  result.breach = world.invariants.breach();
  result.trace_hash = world.trace.hash();
  result.last_lines = world.trace.LastLines();
  result.simulated = world.timeline.elapsed();
  result.unrest = std::max(absl::ZeroDuration(), world.timeline.now() - quiet);
  result.reasons = world.reasons;
  result.coordinator_processes = cluster.coordinator_processes();
  result.member_processes = cluster.member_processes();
  result.weaker_runs = world.invariants.weaker_runs();
  result.deleted = static_cast<int64_t>(cluster.store().deleted().size());
  for (const auto* jobs : {&cluster.store().jobs(), &cluster.store().deleted()}) {
    for (const auto& [id, job] : *jobs) {
      ++result.ends[v1::JobPhase_Name(job.status().phase())];
      result.epochs += job.status().epoch();
      result.pool_changes += job.status().pool_changes();
    }
  }
  return result;
}

}  // namespace rally::simulation
