// CheckPlan: the proof that a plan is exact.
//
// Any thread, no side effects. Cost: O(tasks log tasks), independent of the number of tokens.
#ifndef RALLY_SCHEDULER_CHECK_PLAN_H_
#define RALLY_SCHEDULER_CHECK_PLAN_H_

#include <absl/status/status.h>

#include "scheduler/plan.h"

namespace rally {

// OK when, for every micro-batch of the plan:
//   - shards tile their documents: every token of every document is in exactly one chunk of exactly
//     one micro-batch;
//   - ping shards of a document precede its pong shards;
//   - every task's queries lie in one shard of its nano-batch, its keys in shards of the same
//     micro-batch at nano-batches no later than its own;
//   - every allowed (query, key) pair under `mask` is computed exactly once, and no task is without
//     an allowed pair;
//   - ranks, document indices and target counts are in range.
// With pipeline stages the first holds in each tick for the documents of each stage, and every
// document passes every stage once forward in order and once backward in reverse order (validation:
// forward only), with the same shards in the same rows of the same replicas.
// Otherwise InvalidArgument, naming the first broken invariant with its document, rows and task.
absl::Status CheckPlan(const Plan& plan, AttentionMask mask);

}  // namespace rally

#endif  // RALLY_SCHEDULER_CHECK_PLAN_H_
