// data prepare and data stats: the commands around datasets.
#ifndef RALLY_SERVICES_CLI_DATA_COMMANDS_H_
#define RALLY_SERVICES_CLI_DATA_COMMANDS_H_

#include <string>

#include <absl/status/status.h>

#include "services/cli/command_context.h"
#include "services/data/prepare.h"

namespace CLI {
class App;
}  // namespace CLI

namespace rally {

void AddPrepareFlags(CLI::App* sub, PrepareOptions* options);

// Ctrl-C leaves nothing behind.
absl::Status DataPrepareCommand(const CommandContext& context, const GlobalOptions& globals,
                                const PrepareOptions& options);

absl::Status DataStatsCommand(const CommandContext& context, const GlobalOptions& globals,
                              const std::string& directory);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_DATA_COMMANDS_H_
