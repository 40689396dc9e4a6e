#include "services/cli/plan_command.h"

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>

#include "scheduler/planner.h"
#include "services/cli/plan_cases.h"
#include "services/cli/plan_job.h"

namespace rally {
namespace {

constexpr int kMostRepeats = 1000;
constexpr int kMostRanksPerNode = 1024;

// Below any tolerance that makes sense.
constexpr double kLeastTolerance = 1e-6;

}  // namespace

const char kPlanExamples[] =
    "  rally plan examples/quickstart.yaml --svg plan.svg\n"
    "  rally plan job.yaml --planner greedy --profile examples/profiles/h100.profile\n"
    "  rally plan --case examples/cases.json --tolerance 0.02\n"
    "  rally plan --case examples/cases.json --name book --order arrival --json --tasks\n"
    "\n"
    "Plans a job's first step, or every case of a file of document lengths, proves the plans and\n"
    "shows balance, traffic and time. Nothing is trained.";

void AddPlanFlags(CLI::App* sub, PlanOptions* options) {
  sub->add_option("job", options->job_path, "Job file, see docs/job-file.md")
      ->type_name("JOB.yaml");
  sub->add_option("--case", options->case_path, "Case file instead of a job, see docs/cli.md")
      ->type_name("FILE");
  sub->add_option("--name", options->case_name, "Only this case of the file")->type_name("CASE");
  sub->add_option("--planner", options->planner,
                  absl::StrCat("Default: the job's, rally for a case. One of ", PlannerNames()))
      ->type_name("PLANNER");
  sub->add_option("--order", options->order,
                  "arrival: keep the documents where they came, as --planner arrival")
      ->type_name("ORDER");
  sub->add_option("--tolerance", options->tolerance,
                  "Largest excess over the mean work, in (0, 1]; default: the job's, 0.02 for a "
                  "case")
      ->check(CLI::Range(kLeastTolerance, 1.0))
      ->type_name("T");
  sub->add_option("--ranks-per-node", options->ranks_per_node,
                  "Ranks that share a node; default: all")
      ->check(CLI::Range(1, kMostRanksPerNode))
      ->type_name("N");
  sub->add_option("--repeats", options->repeats,
                  "Plan this often and show the median time, default 3")
      ->check(CLI::Range(1, kMostRepeats))
      ->type_name("N");
  sub->add_option("--search", options->search,
                  "Search on for this long, e.g. 100ms; default: a fixed number of attempts")
      ->type_name("DURATION");
  sub->add_option("--profile", options->profile_path, "Predict times by this device profile")
      ->type_name("FILE");
  sub->add_option("--svg", options->svg_path, "Draw servers and their tasks, of the first case")
      ->type_name("FILE");
  sub->add_flag("--tasks", options->tasks,
                "With --json: every document slice's home, every task's server");
}

absl::Status PlanCommand(const CommandContext& context, const GlobalOptions& globals,
                         const PlanOptions& options) {
  if (options.job_path.empty() == options.case_path.empty()) {
    return absl::InvalidArgumentError("give either a job file or --case FILE");
  }
  if (!options.case_name.empty() && options.case_path.empty()) {
    return absl::InvalidArgumentError("--name: names a case of --case FILE, which is not given");
  }
  if (options.tasks && !globals.json) {
    return absl::InvalidArgumentError("--tasks: adds to what --json prints, which is not given");
  }
  return options.case_path.empty() ? PlanJob(context, globals, options)
                                   : PlanCases(context, globals, options);
}

}  // namespace rally
