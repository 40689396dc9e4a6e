#include "scheduler/planner.h"

#include <algorithm>
#include <vector>

#include <absl/strings/str_cat.h>

namespace rally {

absl::Status TakeTopology(const Topology& topology, Plan* plan) {
  if (plan->workers != topology.workers || topology.dedicated_servers < 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a plan packed for ", plan->workers, " workers does not fit a topology of ",
        topology.workers, " workers and ", topology.dedicated_servers, " dedicated servers"));
  }
  plan->dedicated_servers = topology.dedicated_servers;
  return absl::OkStatus();
}

std::unique_ptr<Planner> MakePlanner(const Topology& topology, const PlannerOptions& options) {
  return topology.local() ? MakeLocalPlanner() : MakeBalancingPlanner(options);
}

double Imbalance(const Plan& plan, const Topology& topology, AttentionMask mask) {
  const int32_t first = topology.in_place || topology.local() ? 0 : topology.workers;
  const int32_t members = topology.ranks() - first;
  double largest = 0.0;  // Summed over phases.
  double total = 0.0;
  for (size_t micro_batch = 0; micro_batch < plan.micro_batches.size(); ++micro_batch) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      const std::vector<int64_t> pairs =
          PairsByRank(plan, static_cast<int>(micro_batch), nano_batch, mask);
      largest += static_cast<double>(*std::max_element(pairs.begin() + first, pairs.end()));
      for (auto it = pairs.begin() + first; it != pairs.end(); ++it) {
        total += static_cast<double>(*it);
      }
    }
  }
  // A phase's ratio is largest / (its total / members); weighted by its total, that total cancels.
  return total == 0.0 ? 1.0 : largest * members / total;
}

}  // namespace rally
