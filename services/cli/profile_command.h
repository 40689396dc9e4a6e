// profile: measures what a job's model takes on this machine (docs/profile-format.md).
//
// Call on the main thread. rally-worker measures, as a child process that ends with this one.
#ifndef RALLY_SERVICES_CLI_PROFILE_COMMAND_H_
#define RALLY_SERVICES_CLI_PROFILE_COMMAND_H_

#include <string>

#include <absl/status/status.h>

#include "services/cli/command_context.h"

namespace CLI {
class App;
}  // namespace CLI

namespace rally {

struct ProfileOptions {
  std::string job_path;  // Whose model; empty: a job file's defaults.
  std::string output;    // Empty: standard output.
  std::string name;      // Of the profile; empty: this machine's host name.
  int threads = 0;       // Of each process; 0: the cores shared out over the job's members.
  bool quick = false;
  double across_nodes = 0.0;  // Bytes per second; 0: as on one node.
};

void AddProfileFlags(CLI::App* sub, ProfileOptions* options);
extern const char kProfileExamples[];

absl::Status ProfileCommand(const CommandContext& context, const GlobalOptions& globals,
                            const ProfileOptions& options);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_PROFILE_COMMAND_H_
