// run and up: the commands that start a cluster on this machine.
//
// Call on the main thread. Whatever happens, no child process and no temporary file remains.
#ifndef RALLY_SERVICES_CLI_CLUSTER_COMMANDS_H_
#define RALLY_SERVICES_CLI_CLUSTER_COMMANDS_H_

#include <string>

#include <absl/status/status.h>

#include "services/cli/command_context.h"
#include "services/cli/paced_flags.h"

namespace rally {

struct RunOptions {
  std::string job_path;
  std::string id;             // Empty: see MakeSubmission.
  std::string run_directory;  // Empty: a temporary one.
  std::string events_path;    // The job's events as JSON lines; empty: not written.
  std::string summary_path;   // The summary as JSON; empty: not written.
  int threads = 0;            // Of each member; 0: the cores shared out.
  PacedFlags paced;
  std::string grace = "30s";  // For the job's last step and checkpoint after Ctrl-C.
};
// OK when the job succeeded; the summary is printed however it ended.
absl::Status RunCommand(const CommandContext& context, const GlobalOptions& globals,
                        const RunOptions& options);

struct UpOptions {
  int workers = 1;
  int attention_servers = 0;
  std::string run_directory;
  std::string listen = "127.0.0.1:7070";
  std::string http = "127.0.0.1:0";
  int threads = 0;
};
// Returns when interrupted, with the interruption's reason, or when the coordinator has ended.
absl::Status UpCommand(const CommandContext& context, const GlobalOptions& globals,
                       const UpOptions& options);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_CLUSTER_COMMANDS_H_
