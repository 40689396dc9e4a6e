// `rally plan --case`: every case of a file planned as one micro-batch of one nano-batch, beside
// the published planner and the floor.
#ifndef RALLY_SERVICES_CLI_PLAN_CASES_H_
#define RALLY_SERVICES_CLI_PLAN_CASES_H_

#include <absl/status/status.h>

#include "services/cli/command_context.h"
#include "services/cli/plan_command.h"

namespace rally {

// InvalidArgument for a malformed file, an unknown case or planner.
absl::Status PlanCases(const CommandContext& context, const GlobalOptions& globals,
                       const PlanOptions& options);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_PLAN_CASES_H_
