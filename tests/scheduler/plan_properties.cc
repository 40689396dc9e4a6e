#include "tests/scheduler/plan_properties.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/check_plan.h"

namespace rally::test {
namespace {

absl::Status CheckTokens(const PlanInput& input, const Plan& plan) {
  size_t document = 0;
  for (const std::vector<Document>& group : input.batch->groups) {
    for (const Document& expected : group) {
      if (document >= plan.documents.size() || plan.documents[document] != expected) {
        return absl::InternalError(absl::StrCat("document ", document, " is not the batch's"));
      }
      ++document;
    }
  }
  for (size_t m = 0; m < plan.micro_batches.size(); ++m) {
    int64_t fewest = std::numeric_limits<int64_t>::max();
    int64_t most = 0;
    for (const Chunk& chunk : plan.micro_batches[m].chunks) {
      fewest = std::min(fewest, TokenCount(chunk));
      most = std::max(most, TokenCount(chunk));
    }
    if (most - fewest > 1) {
      return absl::InternalError(
          absl::StrCat("micro-batch ", m, ": workers of ", fewest, " to ", most, " tokens"));
    }
  }
  return absl::OkStatus();
}

// Work is cut down to single pairs where need be, so that a limit is missed by less than one pair.
absl::Status CheckBalance(const PlanInput& input, double tolerance, const Plan& plan) {
  const Topology& topology = input.topology;
  double weights = 0.0;
  for (int32_t rank = 0; rank < topology.ranks(); ++rank) weights += topology.weight(rank);
  for (size_t m = 0; m < plan.micro_batches.size(); ++m) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      const std::vector<int64_t> pairs =
          PairsByRank(plan, static_cast<int>(m), nano_batch, input.model.mask);
      double total = 0.0;
      for (const int64_t p : pairs) total += static_cast<double>(p);
      for (int32_t rank = 0; rank < topology.ranks(); ++rank) {
        const double share = total * topology.weight(rank) / weights;
        const auto work = static_cast<double>(pairs[rank]);
        if (work <= share * (1.0 + tolerance) + 1.0) continue;
        return absl::InternalError(absl::StrCat("micro-batch ", m, " nano-batch ", nano_batch,
                                                " rank ", rank, ": ", work, " pairs of a share of ",
                                                share, " at tolerance ", tolerance));
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status CheckProperties(const PlanInput& input, double tolerance,
                             const PlannedBatch& planned) {
  RALLY_RETURN_IF_ERROR(CheckPlan(planned.plan, input.model.mask));
  RALLY_RETURN_IF_ERROR(CheckTokens(input, planned.plan));
  return CheckBalance(input, tolerance, planned.plan);
}

}  // namespace rally::test
