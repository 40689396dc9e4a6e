// cluster_simulation: plays a cluster with its faults from seeds, one after another.
//
//   cluster_simulation [--seed=N] [--seeds=M] [--trace=LINES] [--help]
//
// Exit code 0 when all holds in every seed, 1 at the first breach, which is printed with the
// trace's last lines, 2 for wrong usage.
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <string>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>
#include <absl/time/time.h>

#include "tests/simulation/cluster_simulation.h"

namespace {

constexpr char kHelp[] =
    "cluster_simulation [--seed=N] [--seeds=M] [--trace=LINES] [--help]\n"
    "Plays a whole cluster with its faults in one thread, once for each of M seeds from N on\n"
    "(default: 1 from 1), and stops at the first that breaks a rule of "
    "tests/simulation/invariants.h.\n"
    "  --trace=LINES  lines of the trace printed then; with one seed always (default: 80, 0)\n";

struct Flags {
  uint64_t seed = 1;
  uint64_t seeds = 1;
  int64_t trace = -1;
  bool help = false;
};

// False when an argument is not understood.
bool Parse(int argc, char** argv, Flags* flags) {
  for (int i = 1; i < argc; ++i) {
    absl::string_view argument = argv[i];
    bool good = true;
    if (argument == "--help") {
      flags->help = true;
    } else if (absl::ConsumePrefix(&argument, "--seed=")) {
      good = absl::SimpleAtoi(argument, &flags->seed);
    } else if (absl::ConsumePrefix(&argument, "--seeds=")) {
      good = absl::SimpleAtoi(argument, &flags->seeds) && flags->seeds > 0;
    } else if (absl::ConsumePrefix(&argument, "--trace=")) {
      good = absl::SimpleAtoi(argument, &flags->trace) && flags->trace >= 0;
    } else {
      good = false;
    }
    if (good) continue;
    std::fprintf(stderr, "%s: not understood\n%s", argv[i], kHelp);
    return false;
  }
  return true;
}

int Run(const Flags& flags) {
  using rally::simulation::SimulationResult;
  constexpr int64_t kTraceOfBreach = 80;
  const bool always = flags.seeds == 1 && flags.trace > 0;
  const int64_t lines = flags.trace < 0 ? kTraceOfBreach : flags.trace;
  int64_t events = 0, epochs = 0, coordinators = 0, members = 0;
  absl::Duration simulated;
  std::map<std::string, int64_t> ends;
  uint64_t hashes = 0;
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t seed = flags.seed; seed < flags.seed + flags.seeds; ++seed) {
    const SimulationResult result = rally::simulation::SimulateCluster(seed, {}, lines);
    if (always || !result.breach.empty()) std::fputs(result.last_lines.c_str(), stdout);
    if (!result.breach.empty()) {
      std::printf("seed %llu: %s\nreplay: cluster_simulation --seed=%llu --trace=1000\n",
                  static_cast<unsigned long long>(seed), result.breach.c_str(),
                  static_cast<unsigned long long>(seed));
      return 1;
    }
    events += result.events;
    epochs += result.epochs;
    coordinators += result.coordinator_processes;
    members += result.member_processes;
    simulated += result.simulated;
    hashes = hashes * 31 + result.trace_hash;
    for (const auto& [phase, count] : result.ends) ends[phase] += count;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  std::printf("%llu seeds hold: %lld events, %s simulated, in %.1f s\n",
              static_cast<unsigned long long>(flags.seeds), static_cast<long long>(events),
              absl::FormatDuration(simulated).c_str(), took.count());
  std::printf("%lld epochs, %lld coordinator and %lld member processes; trace hash %016llx\n",
              static_cast<long long>(epochs), static_cast<long long>(coordinators),
              static_cast<long long>(members), static_cast<unsigned long long>(hashes));
  for (const auto& [phase, count] : ends) {
    std::printf("  %-22s %lld jobs\n", phase.c_str(), static_cast<long long>(count));
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  if (!Parse(argc, argv, &flags)) return 2;
  if (!flags.help) return Run(flags);
  std::fputs(kHelp, stdout);
  return 0;
}
