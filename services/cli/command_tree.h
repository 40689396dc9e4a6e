// CommandTree of the parser: what completion knows is what the parser accepts.
//
// A pure function; any thread.
#ifndef RALLY_SERVICES_CLI_COMMAND_TREE_H_
#define RALLY_SERVICES_CLI_COMMAND_TREE_H_

#include "services/cli/completion.h"

namespace CLI {
class App;
}  // namespace CLI

namespace rally {

CommandTree TreeOf(const CLI::App& app);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_COMMAND_TREE_H_
