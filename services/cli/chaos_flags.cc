// The flags of `rally chaos` and the fault they choose: see chaos_command.h.
#include <limits>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include "common/status_macros.h"
#include "services/cli/chaos_command.h"
#include "services/cli/victim.h"

namespace rally {
namespace {

constexpr int64_t kMostFaults = 1000000;
constexpr double kLeastSlowdown = 1.1;
constexpr double kMostSlowdown = 50;  // Then it runs for 1 ms at a time.
constexpr absl::Duration kDefaultDuration = absl::Seconds(2);
constexpr absl::Duration kShortest = absl::Milliseconds(1);
constexpr absl::Duration kLongest = absl::Hours(1);

struct Choice {
  const char* flag;
  FaultKind kind;
  std::string role;
};

std::vector<Choice> ChoicesIn(const ChaosOptions& options) {
  std::vector<Choice> chosen;
  for (const Choice& choice : {Choice{"--kill", FaultKind::kKill, options.kill},
                               Choice{"--stop", FaultKind::kStop, options.stop},
                               Choice{"--slow", FaultKind::kSlow, options.slow},
                               Choice{"--drop", FaultKind::kDrop, options.drop},
                               Choice{"--partition", FaultKind::kPartition, options.partition}}) {
    if (!choice.role.empty()) chosen.push_back(choice);
  }
  if (options.fill_disk) chosen.push_back({"--fill-disk", FaultKind::kFillDisk, ""});
  return chosen;
}

absl::Status CheckGoesWith(bool given, absl::string_view flag, bool fits, absl::string_view fault) {
  if (!given || fits) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(flag, ": goes with ", fault, " alone"));
}

absl::Status CheckFits(const ChaosOptions& options, FaultKind kind) {
  const bool kill = kind == FaultKind::kKill;
  const bool disk = kind == FaultKind::kFillDisk;
  if (kill && options.duration.has_value()) {
    return absl::InvalidArgumentError("--for: a kill is not undone, see --respawn");
  }
  RALLY_RETURN_IF_ERROR(CheckGoesWith(options.respawn, "--respawn", kill, "--kill"));
  RALLY_RETURN_IF_ERROR(
      CheckGoesWith(options.slowdown.has_value(), "--by", kind == FaultKind::kSlow, "--slow"));
  RALLY_RETURN_IF_ERROR(
      CheckGoesWith(options.percent.has_value(), "--percent", kind == FaultKind::kDrop, "--drop"));
  RALLY_RETURN_IF_ERROR(
      CheckGoesWith(options.leave_bytes.has_value(), "--leave", disk, "--fill-disk"));
  return CheckGoesWith(options.yes, "--yes", disk, "--fill-disk");
}

}  // namespace

const char kChaosExamples[] =
    "  rally chaos --job mine --kill attention-server --every 5s --count 20 --respawn\n"
    "  rally chaos --job mine --stop worker --for 2s --count 3\n"
    "  rally chaos --job mine --slow attention-server --by 10 --for 10s --every 20s\n"
    "  rally chaos --job mine --fill-disk --for 30s --count 1\n"
    "  rally chaos --job mine --drop worker --percent 1 --for 20s\n"
    "  rally chaos --job mine --partition attention-server --for 2s\n"
    "  rally chaos --job mine --kill worker --respawn --against calm --json > cost.json\n"
    "\n"
    "Strikes processes of a job that runs, one fault at a time, each at a victim chosen at random\n"
    "among those the job has now on this host, and reports how soon the job noticed, how soon it\n"
    "went on, and what was lost. ROLE: attention-server, worker or coordinator.\n"
    "\n"
    "A fault comes --every so often, later if the job has not made a step since the last one was\n"
    "over. It is undone at its end and on Ctrl-C, which prints the report of what was done; press\n"
    "it once. What --kill killed stays dead unless --respawn starts the same command again, with\n"
    "its environment, directory and log; that process outlives this one, and `rally up` does not\n"
    "stop it. Nobody else should start it then. The coordinator of a `rally up` or `rally run` is\n"
    "not killed, since they end with it.\n"
    "\n"
    "With --against JOB, a job of the same file that ran undisturbed, losses are compared by "
    "step.\n"
    "docs/recovery.md says what to expect.";

void AddChaosFlags(CLI::App* sub, ChaosOptions* options) {
  sub->add_option("--job", options->job_id, "Id of the job to strike")->required()->type_name("ID");
  sub->add_option("--kill", options->kill, "Kill a process (SIGKILL)")->type_name("ROLE");
  sub->add_option("--stop", options->stop, "Stop a process, so that it hangs")->type_name("ROLE");
  sub->add_option("--slow", options->slow, "Let a process run only now and then")
      ->type_name("ROLE");
  sub->add_option("--drop", options->drop,
                  "Lose packets at random, of all in the network namespace of a process")
      ->type_name("ROLE");
  sub->add_option("--partition", options->partition,
                  "Cut a process off: set the links of its network namespace down")
      ->type_name("ROLE");
  sub->add_flag("--fill-disk", options->fill_disk,
                "Fill the file system that the job's checkpoints are on");
  sub->add_option("--for", options->duration, "Time until a fault is undone, default 2s")
      ->type_name("DURATION");
  sub->add_option("--by", options->slowdown, "--slow: how many times slower, default 10")
      ->type_name("X");
  sub->add_option("--percent", options->percent, "--drop: of the packets, default 5")
      ->type_name("X");
  sub->add_option("--leave", options->leave_bytes, "--fill-disk: bytes to leave free, default 0")
      ->type_name("BYTES");
  sub->add_flag("--yes", options->yes, "--fill-disk: even if it is the root file system");
  sub->add_flag("--respawn", options->respawn, "--kill: start what was killed again");
  sub->add_option("--every", options->every, "From one fault to the next, default 5s")
      ->type_name("DURATION");
  sub->add_option("--patience", options->patience,
                  "Time for the job to start, and to go on after each fault, default 30m")
      ->type_name("DURATION");
  sub->add_option("--count", options->count, "Faults, default 10")
      ->check(CLI::Range(int64_t{1}, kMostFaults))
      ->type_name("N");
  sub->add_option("--seed", options->seed, "Of the choice of victims, default 1")->type_name("N");
  sub->add_option("--against", options->against, "Compare losses with those of this job")
      ->type_name("ID");
}

absl::StatusOr<FaultPlan> PlanFault(const ChaosOptions& options) {
  const std::vector<Choice> chosen = ChoicesIn(options);
  if (chosen.size() != 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "exactly one of --kill, --stop, --slow, --drop, --partition and --fill-disk is needed, "
        "not ",
        chosen.size()));
  }
  FaultPlan plan;
  plan.kind = chosen[0].kind;
  if (plan.kind != FaultKind::kFillDisk) {
    RALLY_ASSIGN_OR_RETURN(plan.role, ParseRole(chosen[0].flag, chosen[0].role));
  }
  RALLY_RETURN_IF_ERROR(CheckFits(options, plan.kind));
  plan.respawn = options.respawn;
  plan.on_root_too = options.yes;
  plan.duration = plan.kind == FaultKind::kKill ? absl::ZeroDuration() : kDefaultDuration;
  if (options.duration.has_value() && (!absl::ParseDuration(*options.duration, &plan.duration) ||
                                       plan.duration < kShortest || plan.duration > kLongest)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--for: ", *options.duration, " is not a duration in [1ms, 1h], such as 2s"));
  }
  plan.slowdown = options.slowdown.value_or(plan.slowdown);
  if (!(plan.slowdown >= kLeastSlowdown && plan.slowdown <= kMostSlowdown)) {
    return absl::InvalidArgumentError(absl::StrCat("--by: ", plan.slowdown, " is not in [",
                                                   kLeastSlowdown, ", ", kMostSlowdown, "]"));
  }
  plan.percent = options.percent.value_or(plan.percent);
  if (!(plan.percent > 0 && plan.percent <= 100)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--percent: ", plan.percent, " is not in (0, 100]"));
  }
  plan.leave_bytes = options.leave_bytes.value_or(0);
  if (plan.leave_bytes < 0) {
    return absl::InvalidArgumentError(absl::StrCat("--leave: ", plan.leave_bytes, " is not in [0, ",
                                                   std::numeric_limits<int64_t>::max(), "]"));
  }
  return plan;
}

std::string FaultText(const FaultPlan& plan) {
  const std::string duration = absl::StrCat(" for ", absl::FormatDuration(plan.duration));
  switch (plan.kind) {
    case FaultKind::kKill:
      return absl::StrCat("kill ", RoleWord(plan.role), plan.respawn ? ", respawn" : "");
    case FaultKind::kStop:
      return absl::StrCat("stop ", RoleWord(plan.role), duration);
    case FaultKind::kSlow:
      return absl::StrCat("slow ", RoleWord(plan.role), " by ", plan.slowdown, duration);
    case FaultKind::kDrop:
      return absl::StrCat("drop ", plan.percent, "% of packets of ", RoleWord(plan.role), duration);
    case FaultKind::kPartition:
      return absl::StrCat("partition ", RoleWord(plan.role), duration);
    case FaultKind::kFillDisk:
      return absl::StrCat("fill disk", duration);
  }
  return "";
}

}  // namespace rally
