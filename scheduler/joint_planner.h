// JointPlanner: places documents together with their CA-tasks. Rally's own.
//
// Documents are spread over the phases (batch_split.h); for each phase placements are searched
// (phase_search.h), and the best few finished: exact tokens (gap_filler.h), tasks
// (phase_tasks.h), and what is still above a server's limit moved (phase_balancer.h). The one with
// the fewest bytes is kept. The first attempts are a fixed number; more are made for as long as
// PlanInput::keep_searching says and they promise anything.
//
// A tolerance of 0 is chosen by the cost model: the plan whose layer is predicted to take least,
// the batch in order of arrival and computed at home among them. Without a cost model it is 0.02.
#ifndef RALLY_SCHEDULER_JOINT_PLANNER_H_
#define RALLY_SCHEDULER_JOINT_PLANNER_H_

#include <memory>

#include "scheduler/planner.h"

namespace rally {

std::unique_ptr<Planner> MakeJointPlanner(const PlannerOptions& options);

}  // namespace rally

#endif  // RALLY_SCHEDULER_JOINT_PLANNER_H_
