// Baseline planners: what others do, as plans that run and simulate like Rally's own.
//
// They keep to their sources, weaknesses included. Of PlannerOptions each reads what it names here;
// of a topology's weights none but which servers are excluded. MakePlanner (planner.h) is the way
// in.
#ifndef RALLY_SCHEDULER_BASELINE_PLANNERS_H_
#define RALLY_SCHEDULER_BASELINE_PLANNERS_H_

#include <memory>

#include "scheduler/planner.h"

namespace rally {

// The published greedy, arXiv 2510.18121: documents in order of arrival, those that cross a chunk
// in rings, tasks by GreedyBalancer. Without a pool, tasks stay at home. Reads `tolerance`.
std::unique_ptr<Planner> MakeGreedyPlanner(const PlannerOptions& options);

// Per-document context parallelism: documents in order of arrival over groups of
// `context_parallel` workers (0: all of them), each document over the whole group as HeadTailPlacer
// says, tasks at home. Every worker holds the same tokens, up to one. Needs a group that divides
// the workers and is a multiple of the chunks a document may span.
//
// The keys and values of a group are gathered: a task pulls what its mask allows, so the worker
// that holds a document's first shard and its last, which ends the gather, pulls all of it, others
// less. With `ring` (arXiv 2105.13120) a task holds the keys of one owner's shard alone, one step
// of the ring; owners whose shards are shorter than `query_granularity` together make one.
std::unique_ptr<Planner> MakeContextParallelPlanner(bool ring, const PlannerOptions& options);

// That placement alone, a plan without tasks. 0 takes all workers as the group.
absl::StatusOr<Plan> PlaceContextParallel(const PlanInput& input, int32_t group);

// Variable-length packing in the manner of WLB-LLM (arXiv 2503.17924): documents over groups of
// `context_parallel` workers (0: the chunks a document may span) of every micro-batch, most work
// first to the group with the least, so that chunks hold about equal work and unequal tokens, at
// most `chunk_token_limit` * chunk_tokens; each document in head and tail shards over its group,
// tasks at home. A batch that finds no such place is spread by tokens, and failing that stays in
// order of arrival. InvalidArgument where that could not hold every batch: a group smaller than the
// chunks a document may span needs a limit of at least 2 and room for the longest document.
// Deferral of long documents is document_deferral.h.
std::unique_ptr<Planner> MakeVariableLengthPlanner(const PlannerOptions& options);

// Data and context parallelism with a group per document, as Megatron Core's hybrid context
// parallelism has it: the smallest power of two of workers, up to `context_parallel` (0: all),
// whose parts of it are neither more tokens than a chunk nor more work than the mean one; groups
// are aligned and filled as by variable-length packing, under the same limit. A batch that finds no
// place is spread over all workers together.
std::unique_ptr<Planner> MakeHybridPlanner(const PlannerOptions& options);

// What a plan that was not made to a guarantee says of itself: the largest server's pairs over its
// share by weight in the worst phase, and whether that lies within `tolerance` of 1. Without a pool
// the workers are the servers.
PlanReport ReportBalance(const Plan& plan, const Topology& topology, AttentionMask mask,
                         double tolerance);

}  // namespace rally

#endif  // RALLY_SCHEDULER_BASELINE_PLANNERS_H_
