#include "services/cli/simulate_command.h"

#include <algorithm>
#include <vector>

#include <CLI/CLI.hpp>
#include <absl/strings/str_cat.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "services/cli/progress.h"
#include "services/simulate/scenario.h"
#include "services/simulate/study.h"
#include "services/simulate/study_plot.h"
#include "services/simulate/study_report.h"

namespace rally {
namespace {

absl::Status WriteOutputs(const SimulateOptions& options, const Scenario& scenario,
                          const std::vector<StudyRow>& rows) {
  if (!options.csv_path.empty()) {
    RALLY_RETURN_IF_ERROR(WriteFileAtomically(options.csv_path, StudyCsv(rows, scenario.baseline)));
  }
  if (!options.svg_path.empty()) {
    RALLY_RETURN_IF_ERROR(WriteFileAtomically(options.svg_path, StudyPlot(rows)));
  }
  if (!options.trace_path.empty()) {
    RALLY_RETURN_IF_ERROR(
        WriteFileAtomically(options.trace_path, ChromeTrace(rows.back().forecast.last)));
  }
  return absl::OkStatus();
}

}  // namespace

const char kSimulateExamples[] =
    "  rally simulate examples/simulate/small.yaml\n"
    "  rally simulate examples/simulate/paper.yaml --json > paper.json\n"
    "  rally simulate scenario.yaml --search\n"
    "  rally simulate scenario.yaml --csv rows.csv --svg rows.svg --trace step.json\n"
    "\n"
    "A scenario names models, a cluster, document lengths and planners; lists in it are swept. "
    "Nothing\n"
    "runs but the simulator. docs/simulate.md lists every field.";

void AddSimulateFlags(CLI::App* sub, SimulateOptions* options) {
  sub->add_option("scenario", options->scenario_path, "Scenario file, see examples/simulate/")
      ->required()
      ->type_name("SCENARIO.yaml");
  sub->add_flag("--search", options->search,
                "Find the best tensor, pipeline, context and server degrees of every row");
  sub->add_option("--csv", options->csv_path, "Write the rows here as CSV")->type_name("FILE");
  sub->add_option("--svg", options->svg_path, "Draw tokens per second over GPUs here")
      ->type_name("FILE");
  sub->add_option("--trace", options->trace_path,
                  "Write the last row's step here as a Chrome trace")
      ->type_name("FILE");
}

absl::Status SimulateCommand(const CommandContext& context, const GlobalOptions& globals,
                             const SimulateOptions& options) {
  RALLY_ASSIGN_OR_RETURN(const Scenario scenario, ReadScenario(options.scenario_path));
  Console& console = *context.console;
  Interruption interruption;
  const SignalGuard guard(context.shutdown, &interruption);
  StudyOptions study;
  study.search = options.search;
  study.timeline = !options.trace_path.empty();
  study.on_progress = [&](size_t done, size_t all) {
    if (console.live()) {
      console.ShowLive(
          absl::StrCat(ProgressBar(static_cast<double>(done) / static_cast<double>(all), 32), "  ",
                       done, " of ", all, " rows"));
    }
    return interruption.reason().ok();
  };
  const absl::StatusOr<std::vector<StudyRow>> rows = RunStudy(scenario, study);
  console.KeepLive();
  RALLY_RETURN_IF_ERROR(rows.status());
  console.out() << (globals.json ? StudyJson(*rows, scenario.baseline)
                                 : StudyTable(*rows, scenario.baseline));
  RALLY_RETURN_IF_ERROR(WriteOutputs(options, scenario, *rows));
  const bool any =
      std::any_of(rows->begin(), rows->end(), [](const StudyRow& row) { return row.status.ok(); });
  return any ? absl::OkStatus() : absl::InvalidArgumentError("no row of the scenario can be run");
}

}  // namespace rally
