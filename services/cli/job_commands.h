// submit, list, get, watch, logs, cancel: the commands that speak to a running coordinator.
//
// Each writes its result to the console and returns its error. InvalidArgument means that the user
// asked for something that cannot be.
#ifndef RALLY_SERVICES_CLI_JOB_COMMANDS_H_
#define RALLY_SERVICES_CLI_JOB_COMMANDS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "services/cli/command_context.h"

namespace rally {

struct SubmitOptions {
  std::string job_path;
  std::string id;  // Empty: see MakeSubmission.
  bool validate_only = false;
  bool watch = false;
};
absl::Status SubmitCommand(const CommandContext& context, const GlobalOptions& globals,
                           const SubmitOptions& options);

struct ListOptions {
  std::vector<std::string> phases;  // Words as PhaseWord gives them; empty: all.
  std::string id_prefix;
};
absl::Status ListCommand(const CommandContext& context, const GlobalOptions& globals,
                         const ListOptions& options);

struct GetOptions {
  std::string id;
  bool yaml = false;  // The job file alone.
};
absl::Status GetCommand(const CommandContext& context, const GlobalOptions& globals,
                        const GetOptions& options);

struct WatchOptions {
  std::string id;
  int64_t after = 0;  // Events with a greater sequence number.
};
absl::Status WatchCommand(const CommandContext& context, const GlobalOptions& globals,
                          const WatchOptions& options);

struct LogsOptions {
  std::string id;
  bool follow = false;
  std::optional<int32_t> rank;
};
absl::Status LogsCommand(const CommandContext& context, const GlobalOptions& globals,
                         const LogsOptions& options);

struct CancelOptions {
  std::string id;
  std::string grace = "30s";  // As absl::ParseDuration reads it, [0s, 1h].
};
absl::Status CancelCommand(const CommandContext& context, const GlobalOptions& globals,
                           const CancelOptions& options);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_JOB_COMMANDS_H_
