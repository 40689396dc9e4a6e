// BalanceTicks: spreads the CA-tasks of each tick of a pipelined plan over all its stages.
//
// Pure function; any thread.
#ifndef RALLY_SCHEDULER_TICK_BALANCE_H_
#define RALLY_SCHEDULER_TICK_BALANCE_H_

#include <absl/status/status.h>

#include "scheduler/cost_model.h"
#include "scheduler/model_shape.h"
#include "scheduler/plan.h"
#include "scheduler/planner.h"
#include "scheduler/topology.h"

namespace rally {

// Starts from the tasks that the plan has (LayOverTicks keeps those of a micro-batch on its stage),
// so it moves only what balances stages against each other. `topology` is of all stages and has a
// pool. With `costs`, of `model` on one device, a worker that idles in a tick gets as much more as
// the others have linear work beside; without, all get alike. Topology's own weights multiply.
// InvalidArgument when topology, options and plan do not fit each other.
absl::Status BalanceTicks(const Topology& topology, const ModelShape& model,
                          const PlannerOptions& options, const CostModel* costs, Plan* plan);

}  // namespace rally

#endif  // RALLY_SCHEDULER_TICK_BALANCE_H_
