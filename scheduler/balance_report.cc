#include <algorithm>
#include <vector>

#include "scheduler/baseline_planners.h"

namespace rally {

PlanReport ReportBalance(const Plan& plan, const Topology& topology, AttentionMask mask,
                         double tolerance) {
  double weights = 0.0;
  for (int32_t rank = 0; rank < topology.ranks(); ++rank) weights += topology.weight(rank);
  PlanReport report;
  for (size_t micro_batch = 0; micro_batch < plan.micro_batches.size(); ++micro_batch) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      const std::vector<int64_t> pairs =
          PairsByRank(plan, static_cast<int>(micro_batch), nano_batch, mask);
      double total = 0.0;
      for (const int64_t p : pairs) total += static_cast<double>(p);
      if (total == 0.0) continue;
      for (int32_t rank = 0; rank < topology.ranks(); ++rank) {
        const double share = total * topology.weight(rank) / weights;
        if (share == 0.0) continue;
        const double ratio = static_cast<double>(pairs[static_cast<size_t>(rank)]) / share;
        report.largest_over_share = std::max(report.largest_over_share, ratio);
      }
    }
  }
  report.tolerance = report.largest_over_share - 1.0;
  report.within_tolerance = report.largest_over_share <= 1.0 + tolerance;
  return report;
}

}  // namespace rally
