// chaos: inject faults on the processes of a live job, and see what they cost it.
#ifndef RALLY_SERVICES_CLI_CHAOS_COMMAND_H_
#define RALLY_SERVICES_CLI_CHAOS_COMMAND_H_

#include <cstdint>
#include <optional>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "services/cli/command_context.h"
#include "services/cli/fault.h"

namespace CLI {
class App;
}  // namespace CLI

namespace rally {

struct ChaosOptions {
  std::string job_id;
  // Exactly one of these: a role's word (services/cli/victim.h), or the flag.
  std::string kill;
  std::string stop;
  std::string slow;
  std::string drop;
  std::string partition;
  bool fill_disk = false;

  std::optional<std::string> duration;  // Absent: 2s. All but kill.
  std::optional<double> slowdown;       // Absent: 10. Slow alone.
  std::optional<double> percent;        // Absent: 5. Drop alone.
  std::optional<int64_t> leave_bytes;   // Absent: 0. Fill-disk alone.
  bool yes = false;                     // Fill-disk alone.
  bool respawn = false;                 // Kill alone.

  std::string every = "5s";
  std::string patience = "30m";  // For the job to go on.
  int64_t count = 10;
  uint64_t seed = 1;
  std::string against;  // Id of a job to compare losses with; empty: none.
};

void AddChaosFlags(CLI::App* sub, ChaosOptions* options);
extern const char kChaosExamples[];

// The fault that the options choose. InvalidArgument names the flag that is wrong or does not go
// with it.
absl::StatusOr<FaultPlan> PlanFault(const ChaosOptions& options);
// "kill attention-server", "slow worker by 10 for 2s".
std::string FaultText(const FaultPlan& plan);

// Returns when all faults are done and over, or the job has ended: OK unless it has failed. The
// report is printed however it ends. When interrupted, the interruption's reason.
absl::Status ChaosCommand(const CommandContext& context, const GlobalOptions& globals,
                          const ChaosOptions& options);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_CHAOS_COMMAND_H_
