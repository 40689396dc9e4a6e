// CheckPlan: the proof that a plan is exact.
//
// Any thread, no side effects. Cost: O(tasks log tasks), independent of the number of tokens.
#ifndef RALLY_SCHEDULER_CHECK_PLAN_H_
#define RALLY_SCHEDULER_CHECK_PLAN_H_

#include <absl/status/status.h>

#include "scheduler/plan.h"

namespace rally {

// OK when, for every micro-batch of the plan:
//   - shards tile their documents: every token of every document is in exactly one chunk;
//   - ping shards of a document precede its pong shards;
//   - every task's queries lie in one shard of its nano-batch, its keys in shards of the same
//     micro-batch at nano-batches no later than its own;
//   - every allowed (query, key) pair under `mask` is computed exactly once, and no task is without
//     an allowed pair;
//   - ranks, document indices and target counts are in range.
// Otherwise InvalidArgument, naming the first broken invariant with its document, rows and task.
absl::Status CheckPlan(const Plan& plan, AttentionMask mask);

}  // namespace rally

#endif  // RALLY_SCHEDULER_CHECK_PLAN_H_
