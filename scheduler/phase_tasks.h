// Phase tasks: the CA-tasks that a placement stands for.
//
// Pure function; any thread.
#ifndef RALLY_SCHEDULER_PHASE_TASKS_H_
#define RALLY_SCHEDULER_PHASE_TASKS_H_

#include <vector>

#include "scheduler/phase_placer.h"

namespace rally {

// One task for every shard, computed where it lives; those of a tile against all its workers' parts
// of the keys, cut so that its workers come equally near to their limits.
std::vector<CaTask> PlacementTasks(const PhasePlacement& placement, const PlacementInput& input);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PHASE_TASKS_H_
