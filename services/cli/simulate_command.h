// simulate: what training would take on accelerators that are not here.
#ifndef RALLY_SERVICES_CLI_SIMULATE_COMMAND_H_
#define RALLY_SERVICES_CLI_SIMULATE_COMMAND_H_

#include <string>

#include <absl/status/status.h>

#include "services/cli/command_context.h"

namespace CLI {
class App;
}  // namespace CLI

namespace rally {

struct SimulateOptions {
  std::string scenario_path;
  bool search = false;
  std::string csv_path;
  std::string svg_path;
  std::string trace_path;
};

void AddSimulateFlags(CLI::App* sub, SimulateOptions* options);
extern const char kSimulateExamples[];

absl::Status SimulateCommand(const CommandContext& context, const GlobalOptions& globals,
                             const SimulateOptions& options);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_SIMULATE_COMMAND_H_
