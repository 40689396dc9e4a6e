// The parser's commands as a CommandTree (completion.h).
//
// Pure function, any thread.
#ifndef RALLY_SERVICES_CLI_COMMAND_TREE_H_
#define RALLY_SERVICES_CLI_COMMAND_TREE_H_

#include <CLI/CLI.hpp>

#include "services/cli/completion.h"

namespace rally {

CommandTree TreeOf(const CLI::App& app);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_COMMAND_TREE_H_
