// PlanSummary: what there is to say of a plan: balance, traffic, tasks, and who does what.
//
// Plain data and pure functions; any thread.
#ifndef RALLY_SERVICES_PLANNING_PLAN_SUMMARY_H_
#define RALLY_SERVICES_PLANNING_PLAN_SUMMARY_H_

#include <cstdint>
#include <optional>
#include <vector>

#include <absl/status/statusor.h>

#include "scheduler/plan.h"
#include "scheduler/plan_traffic.h"
#include "scheduler/planner.h"

namespace rally {

// One rank's part of a plan, over all its phases.
struct RankPart {
  int64_t tokens = 0;  // Of its chunks.
  int64_t tasks = 0;
  int64_t pairs = 0;
  RowsByLink received;  // Rows of others, to serve.
};

struct PlanSummary {
  double imbalance_without_plan = 1.0;  // In order of arrival, every query at its home.
  double imbalance = 1.0;               // Largest over mean work of the pool (planner.h).
  int64_t tokens = 0;
  int64_t tasks = 0;
  // Query rows of the smallest task that does not reach its document's end; absent: none is such.
  std::optional<int64_t> smallest_query_shard;
  RowsByLink rows;              // That cross between ranks, by link.
  std::vector<RankPart> ranks;  // [ranks]
};

// `plan` is what a planner made of `input`, and has passed CheckPlan.
absl::StatusOr<PlanSummary> Summarize(const Plan& plan, const PlanInput& input);

// Bytes between ranks in one layer, all links.
double TotalBytes(const PlanSummary& summary, Direction direction, const ModelShape& model,
                  int64_t element_bytes);

}  // namespace rally

#endif  // RALLY_SERVICES_PLANNING_PLAN_SUMMARY_H_
