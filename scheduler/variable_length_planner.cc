#include <optional>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/baseline_planners.h"
#include "scheduler/work_packing.h"

namespace rally {
namespace {

class VariableLengthPlanner final : public Planner {
 public:
  explicit VariableLengthPlanner(const PlannerOptions& options) : options_(options) {}

  absl::StatusOr<PlannedBatch> MakePlan(const PlanInput& input) override {
    RALLY_ASSIGN_OR_RETURN(const int64_t token_limit,
                           ChunkTokenLimit(input.shape, options_.chunk_token_limit));
    RALLY_ASSIGN_OR_RETURN(const int32_t group, GroupOf(input, token_limit));
    std::vector<DocumentLoad> documents = DocumentLoads(input);
    for (DocumentLoad& document : documents) document.group = group;
    PlannedBatch planned;
    std::optional<Plan> packed = PackByWork(input, std::move(documents), token_limit);
    if (packed.has_value()) {
      planned.plan = *std::move(packed);
    } else {
      RALLY_ASSIGN_OR_RETURN(planned.plan, PlaceContextParallel(input, group));
    }
    RALLY_RETURN_IF_ERROR(AssignLocally(input.topology, input.model, &planned.plan));
    planned.report = ReportBalance(planned.plan, {input.topology.workers, 0, false},
                                   input.model.mask, options_.tolerance);
    return planned;
  }

 private:
  // Workers that share a document. Every batch that the sampler makes must find room.
  absl::StatusOr<int32_t> GroupOf(const PlanInput& input, int64_t token_limit) const {
    const int32_t workers = input.topology.workers;
    const int64_t group_chunks = input.shape.chunks_per_group();
    const int64_t group = options_.context_parallel == 0 ? group_chunks : options_.context_parallel;
    if (group < 1 || workers % group != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("context_parallel ", group, " is not a divisor of ", workers, " workers"));
    }
    const bool has_room =
        group % group_chunks == 0 || (token_limit >= 2 * input.shape.chunk_tokens &&
                                      group * token_limit >= input.shape.max_document_tokens);
    if (!has_room) {
      return absl::InvalidArgumentError(absl::StrCat(
          "context_parallel ", group, " is no multiple of the ", group_chunks,
          " chunks a document of ", input.shape.max_document_tokens, " tokens may span, and ",
          group, " chunks of at most ", token_limit, " tokens do not hold every batch"));
    }
    return static_cast<int32_t>(group);
  }

  const PlannerOptions options_;
};

}  // namespace

std::unique_ptr<Planner> MakeVariableLengthPlanner(const PlannerOptions& options) {
  return std::make_unique<VariableLengthPlanner>(options);
}

}  // namespace rally
