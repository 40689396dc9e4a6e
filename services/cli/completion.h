// Shell completion scripts, made from the command tree itself.
//
// Pure functions, any thread.
#ifndef RALLY_SERVICES_CLI_COMPLETION_H_
#define RALLY_SERVICES_CLI_COMPLETION_H_

#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace rally {

// One command: its words after "rally", its options ("--json") and its subcommands.
struct CommandTree {
  struct Option {
    std::string name;  // With its dashes.
    std::string description;
    bool takes_value = false;
  };
  std::string name;
  std::string description;
  std::vector<Option> options;
  std::vector<CommandTree> subcommands;
};

// The script for "bash", "zsh" or "fish"; InvalidArgument for another shell.
absl::StatusOr<std::string> CompletionScript(const CommandTree& root, absl::string_view shell);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_COMPLETION_H_
