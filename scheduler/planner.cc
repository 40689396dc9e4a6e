#include "scheduler/planner.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/status_macros.h"
#include "scheduler/baseline_planners.h"
#include "scheduler/joint_planner.h"
#include "scheduler/packing.h"

namespace rally {
namespace {

// By PlannerKind.
constexpr std::array<absl::string_view, 8> kNames = {
    "rally", "arrival", "local", "greedy", "variable_length", "context_parallel", "ring", "hybrid",
};

// Documents in order of arrival; tasks at home, or balanced.
class ArrivalPlanner final : public Planner {
 public:
  ArrivalPlanner(bool balanced, const PlannerOptions& options)
      : balanced_(balanced), options_(options) {}

  absl::StatusOr<PlannedBatch> MakePlan(const PlanInput& input) override {
    PlannedBatch planned;
    RALLY_ASSIGN_OR_RETURN(planned.plan, PackInOrder(*input.batch, input.shape,
                                                     input.topology.workers, input.ping_pong));
    if (balanced_ && !input.topology.local()) {
      RALLY_RETURN_IF_ERROR(AssignBalanced(input.topology, input.model, options_, &planned.plan));
    } else {
      RALLY_RETURN_IF_ERROR(AssignLocally(input.topology, input.model, &planned.plan));
    }
    return planned;
  }

 private:
  const bool balanced_;
  const PlannerOptions options_;
};

}  // namespace

absl::string_view PlannerName(PlannerKind kind) { return kNames[static_cast<size_t>(kind)]; }

absl::StatusOr<PlannerKind> ParsePlannerName(absl::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  if (found != kNames.end()) return static_cast<PlannerKind>(found - kNames.begin());
  return absl::InvalidArgumentError(
      absl::StrCat("planner \"", name, "\" is not one of ", PlannerNames()));
}

std::string PlannerNames() { return absl::StrJoin(kNames, ", "); }

std::unique_ptr<Planner> MakePlanner(PlannerKind kind, const PlannerOptions& options) {
  switch (kind) {
    case PlannerKind::kGreedy:
      return MakeGreedyPlanner(options);
    case PlannerKind::kContextParallel:
    case PlannerKind::kRing:
      return MakeContextParallelPlanner(kind == PlannerKind::kRing, options);
    case PlannerKind::kVariableLength:
      return MakeVariableLengthPlanner(options);
    case PlannerKind::kHybrid:
      return MakeHybridPlanner(options);
    case PlannerKind::kRally:
      return MakeJointPlanner(options);
    default:
      return std::make_unique<ArrivalPlanner>(kind != PlannerKind::kLocal, options);
  }
}

double Imbalance(const Plan& plan, const Topology& topology, AttentionMask mask) {
  double weights = 0.0;
  for (int32_t rank = 0; rank < topology.ranks(); ++rank) weights += topology.weight(rank);
  double largest = 0.0;  // For its weight, summed over phases.
  double total = 0.0;
  for (size_t micro_batch = 0; micro_batch < plan.micro_batches.size(); ++micro_batch) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      const std::vector<int64_t> pairs =
          PairsByRank(plan, static_cast<int>(micro_batch), nano_batch, mask);
      double most = 0.0;
      for (int32_t rank = 0; rank < topology.ranks(); ++rank) {
        if (topology.weight(rank) <= 0.0) continue;
        const auto work = static_cast<double>(pairs[static_cast<size_t>(rank)]);
        most = std::max(most, work / topology.weight(rank));
        total += work;
      }
      largest += most;
    }
  }
  // A phase's ratio is largest / (its total / weights); weighted by its total, that total cancels.
  return total == 0.0 ? 1.0 : largest * weights / total;
}

}  // namespace rally
