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

// What a plan that was not made to a guarantee says of itself: the largest server's pairs over its
// share by weight in the worst phase, and whether that lies within `tolerance` of 1. Without a pool
// the workers are the servers.
PlanReport ReportBalance(const Plan& plan, const Topology& topology, AttentionMask mask,
                         double tolerance);

}  // namespace rally

#endif  // RALLY_SCHEDULER_BASELINE_PLANNERS_H_
