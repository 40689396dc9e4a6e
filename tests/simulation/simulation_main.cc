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
#include <absl/strings/str_format.h>
#include <absl/strings/strip.h>
#include <absl/time/time.h>

#include "tests/simulation/cluster_simulation.h"

namespace {

using rally::simulation::SimulationResult;

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

// What many simulations went through.
class Summary {
 public:
  void Add(uint64_t seed, const SimulationResult& result) {
    ++seeds_;
    events_ += result.events;
    epochs_ += result.epochs;
    pool_changes_ += result.pool_changes;
    weaker_runs_ += result.weaker_runs;
    deleted_ += result.deleted;
    coordinators_ += result.coordinator_processes;
    members_ += result.member_processes;
    simulated_ += result.simulated;
    hash_ = hash_ * 31 + result.trace_hash;
    if (result.unrest > longest_unrest_) {
      longest_unrest_ = result.unrest;
      most_restless_ = seed;
    }
    for (const auto& [phase, count] : result.ends) ends_[phase] += count;
    for (const auto& [reason, count] : result.reasons) reasons_[reason] += count;
  }

  void Print(double seconds) const {
    std::string text = absl::StrFormat(
        "%d seeds hold: %d events, %s simulated, in %.1f s\n"
        "%d epochs, %d changes of a pool, %d coordinator and %d member processes; trace hash "
        "%016x\n"
        "%d runs on fewer workers, %d jobs deleted after their end\n"
        "longest unrest after the faults: %s, seed %d\n",
        seeds_, events_, absl::FormatDuration(simulated_), seconds, epochs_, pool_changes_,
        coordinators_, members_, hash_, weaker_runs_, deleted_,
        absl::FormatDuration(longest_unrest_), most_restless_);
    for (const auto& [phase, count] : ends_)
      absl::StrAppendFormat(&text, "  %s %d\n", phase, count);
    for (const auto& [reason, count] : reasons_) {
      absl::StrAppendFormat(&text, "  %s %d\n", reason, count);
    }
    std::fputs(text.c_str(), stdout);
  }

 private:
  int64_t seeds_ = 0;
  int64_t events_ = 0;
  int64_t epochs_ = 0;
  int64_t pool_changes_ = 0;
  int64_t weaker_runs_ = 0;
  int64_t deleted_ = 0;
  int64_t coordinators_ = 0;
  int64_t members_ = 0;
  absl::Duration simulated_;
  absl::Duration longest_unrest_;
  uint64_t most_restless_ = 0;
  uint64_t hash_ = 0;
  std::map<std::string, int64_t> ends_;
  std::map<std::string, int64_t> reasons_;
};

int Run(const Flags& flags) {
  constexpr int64_t kTraceOfBreach = 80;
  const bool always = flags.seeds == 1 && flags.trace > 0;
  const int64_t lines = flags.trace < 0 ? kTraceOfBreach : flags.trace;
  Summary summary;
  const auto start = std::chrono::steady_clock::now();
  for (uint64_t seed = flags.seed; seed < flags.seed + flags.seeds; ++seed) {
    const SimulationResult result = rally::simulation::SimulateCluster(seed, {}, lines);
    if (always || !result.breach.empty()) std::fputs(result.last_lines.c_str(), stdout);
    if (!result.breach.empty()) {
      std::fputs(absl::StrFormat("seed %d: %s\nreplay: cluster_simulation --seed=%d --trace=1000\n",
                                 seed, result.breach, seed)
                     .c_str(),
                 stdout);
      return 1;
    }
    summary.Add(seed, result);
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  summary.Print(took.count());
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
