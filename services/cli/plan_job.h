// `rally plan JOB.yaml`: the plan of a job's first step, from its dataset's document lengths.
#ifndef RALLY_SERVICES_CLI_PLAN_JOB_H_
#define RALLY_SERVICES_CLI_PLAN_JOB_H_

#include <absl/status/status.h>

#include "services/cli/command_context.h"
#include "services/cli/plan_command.h"

namespace rally {

// Errors as ReadJobFile's and CheckDataset's; InvalidArgument for an unknown planner.
absl::Status PlanJob(const CommandContext& context, const GlobalOptions& globals,
                     const PlanOptions& options);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_PLAN_JOB_H_
