// Phase tasks: the CA-tasks that a placement stands for, and the bytes that a phase's tasks make
// travel.
//
// Pure functions; any thread.
#ifndef RALLY_SCHEDULER_PHASE_TASKS_H_
#define RALLY_SCHEDULER_PHASE_TASKS_H_

#include <cstdint>
#include <vector>

#include <absl/types/span.h>

#include "scheduler/phase_placer.h"
#include "scheduler/row_costs.h"
#include "scheduler/shard_index.h"

namespace rally {

// One task for every shard, computed where it lives; those of a tile against all its workers' parts
// of the keys, cut so that its workers come equally near to their limits.
std::vector<CaTask> PlacementTasks(const PhasePlacement& placement, const PlacementInput& input);

// Query rows that leave their home, and key/value rows once for every rank that needs them and does
// not hold them. `index` is of the tasks' micro-batch.
double PhaseBytes(const ShardIndex& index, absl::Span<const CaTask> tasks, const RowCosts& costs);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PHASE_TASKS_H_
