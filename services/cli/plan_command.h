// plan: what goes where, for the first step of a job or for the cases of a case file.
#ifndef RALLY_SERVICES_CLI_PLAN_COMMAND_H_
#define RALLY_SERVICES_CLI_PLAN_COMMAND_H_

#include <cstdint>
#include <string>

#include <absl/status/status.h>

#include "services/cli/command_context.h"

namespace CLI {
class App;
}

namespace rally {

struct PlanOptions {
  std::string job_path;   // One of these two.
  std::string case_path;  // Format: services/planning/planner_case.h.
  std::string case_name;  // Empty: every case of the file.
  std::string planner;    // Empty: the job's; rally for a case.
  std::string order;      // "arrival": short for --planner arrival.
  double tolerance = 0;   // 0: the job's; 0.02 for a case.
  int32_t ranks_per_node = 0;
  int32_t repeats = 3;  // Plans made; the time shown is the median.
  std::string search;   // Duration, e.g. "100ms"; empty: a fixed number of attempts.
  bool tasks = false;   // With --json: who holds and who computes what.
  std::string svg_path;
  std::string profile_path;
};

void AddPlanFlags(CLI::App* sub, PlanOptions* options);
extern const char kPlanExamples[];

absl::Status PlanCommand(const CommandContext& context, const GlobalOptions& globals,
                         const PlanOptions& options);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_PLAN_COMMAND_H_
