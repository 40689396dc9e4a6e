// Task assignment: what every planner that spreads CA-tasks over a pool shares.
//
// Pure functions; any thread.
#ifndef RALLY_SCHEDULER_TASK_ASSIGNMENT_H_
#define RALLY_SCHEDULER_TASK_ASSIGNMENT_H_

#include <vector>

#include <absl/status/status.h>

#include "scheduler/ca_task.h"
#include "scheduler/planner.h"
#include "scheduler/topology.h"

namespace rally {

// InvalidArgument that names the option or field, its value and the accepted range.
absl::Status CheckPlannerOptions(const PlannerOptions& options);
absl::Status CheckTopology(const Topology& topology);

// Most pairs of each rank: its share of `pairs` by weight and the tolerance on top, or the share
// rounded up to whole pairs. [ranks]
std::vector<double> WorkLimits(const Topology& topology, double pairs, double tolerance);

// Gives tasks to the ranks in order, each as much as its limit's share, for pools that the homes
// are not in.
void LayOverPool(const std::vector<double>& limits, AttentionMask mask, std::vector<CaTask>* tasks);

}  // namespace rally

#endif  // RALLY_SCHEDULER_TASK_ASSIGNMENT_H_
