// CollectedPhases: how far each worker has come in a round whose attention servers have changed,
// and what is left to compute.
//
// When the pool changes within a round, the round goes on from the first phase that a worker has
// not collected. Workers may be some phases apart: in a phase that some have behind them only the
// tasks are computed again whose rows a worker that still waits holds. Every member derives the
// same tasks from the same numbers.
//
// Plain data, pure functions; any thread.
#ifndef RALLY_SCHEDULER_COLLECTED_PHASES_H_
#define RALLY_SCHEDULER_COLLECTED_PHASES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scheduler/phase.h"
#include "scheduler/plan.h"

namespace rally {

struct CollectedPhases {
  // Leading phases of PhaseOrder that each worker has collected. [workers], or empty: none of any.
  std::vector<int64_t> by_worker;

  // Whether the worker still waits for the phase at `index` of PhaseOrder.
  bool Awaits(int32_t worker, int64_t index) const {
    return by_worker.empty() || by_worker[static_cast<size_t>(worker)] <= index;
  }
  // The first phase that a worker waits for,
  int64_t first() const;
  // and the first that, with all after it, every worker waits for.
  int64_t end() const;
};

// The tasks of `phase`, at `index` of PhaseOrder, that are still wanted: those with queries of a
// worker that awaits the phase and, backward, those with keys of one. In the plan's order.
std::vector<CaTask> OpenTasks(const Plan& plan, const Phase& phase, int64_t index,
                              const CollectedPhases& collected);

}  // namespace rally

#endif  // RALLY_SCHEDULER_COLLECTED_PHASES_H_
