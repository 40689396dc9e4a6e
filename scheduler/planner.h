// Planner: assigns the core attention of a packed batch to servers.
//
// Pure and deterministic: the same inputs give the same tasks. A planner may be called from any one
// thread at a time.
#ifndef RALLY_SCHEDULER_PLANNER_H_
#define RALLY_SCHEDULER_PLANNER_H_

#include <cstdint>
#include <memory>

#include <absl/status/status.h>

#include "scheduler/model_shape.h"
#include "scheduler/plan.h"
#include "scheduler/topology.h"

namespace rally {

struct PlannerOptions {
  // Two-sided: every server's work in every phase lies within (1 +- tolerance) of the mean, so far
  // as whole pairs allow. In (0, 1].
  double tolerance = 0.05;
  // Query cuts fall on multiples of this many rows of a document. Halved, in the phases that need
  // it, until the tolerance is met: documents may be short. At least 1.
  int64_t query_granularity = 128;
  // Longest key range of one CA-task; 0 means no limit.
  int64_t max_kv_rows_per_task = 0;
};

class Planner {
 public:
  virtual ~Planner() = default;

  // Fills `plan->micro_batches[].tasks` and `plan->dedicated_servers`. `plan` comes from packing.
  // The result passes CheckPlan. InvalidArgument when the plan and the topology disagree.
  virtual absl::Status Assign(const Topology& topology, const ModelShape& shape, Plan* plan) = 0;
};

// Every query row is computed at its home: core attention without disaggregation.
std::unique_ptr<Planner> MakeLocalPlanner();

// Balances work over the topology's pool, moving the rows that cost the fewest bytes per pair.
std::unique_ptr<Planner> MakeBalancingPlanner(const PlannerOptions& options);

// MakeLocalPlanner for a topology without a pool, else MakeBalancingPlanner.
std::unique_ptr<Planner> MakePlanner(const Topology& topology, const PlannerOptions& options);

// What every planner does first: checks that `topology` fits `plan`, and sets the plan's servers.
absl::Status TakeTopology(const Topology& topology, Plan* plan);

// Largest work of a pool member over the mean of the pool, averaged over phases weighted by their
// work. 1.0 is perfect. With a dedicated-only pool the workers are not members.
double Imbalance(const Plan& plan, const Topology& topology, AttentionMask mask);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PLANNER_H_
