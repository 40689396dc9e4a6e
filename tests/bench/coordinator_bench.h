// The coordinator bench: what a real rally-coordinator answers how fast, with a full house.
//
// The coordinator is a process of its own with a store that already holds many jobs that have
// ended. Simulated members (control_member.h) run jobs over all of them, watchers follow these
// jobs, and users submit, cancel and list meanwhile. Everything is on this machine and its
// loopback, so the members' side takes its share of the cores. What is measured, at the caller:
//   submit  SubmitJob, over half of them with members busy, so the job is queued
//   list    ListJobs: the newest page, a page of one phase, a prefix that no job has
//   plan    from a step's last Committed to each member's next plan
//   commit  from a round's last RoundDone to each worker's Commit
// The store keeps its size: for every job that ends its oldest is dropped.
#ifndef RALLY_TESTS_BENCH_COORDINATOR_BENCH_H_
#define RALLY_TESTS_BENCH_COORDINATOR_BENCH_H_

#include <ostream>

#include <absl/status/status.h>

namespace rally::bench {

struct CoordinatorBenchOptions {
  bool json = false;
  int members = 512;
  int jobs = 4;  // Running at a time; members are shared equally, a quarter attention servers.
  int watchers = 200;
  int stored_jobs = 10000;
  int seconds = 120;
  int step_milliseconds = 1000;  // What a member takes for a round.
};

// Writes a table, or with `json` an object {"members", "jobs", "watchers", "stored_jobs",
// "seconds", "rounds", "submit", "list", "plan", "commit", "resident_bytes",
// "growth_bytes_per_hour"}, to `out`; each call is {"count", "p50_seconds", "p99_seconds",
// "max_seconds"}. The growth is a line through the resident memory of the second half.
absl::Status RunCoordinatorBench(const CoordinatorBenchOptions& options, std::ostream& out);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_COORDINATOR_BENCH_H_
