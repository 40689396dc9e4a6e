#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/baseline_planners.h"
#include "scheduler/work_packing.h"

namespace rally {
namespace {

class HybridPlanner final : public Planner {
 public:
  explicit HybridPlanner(const PlannerOptions& options) : options_(options) {}

  absl::StatusOr<PlannedBatch> MakePlan(const PlanInput& input) override {
    RALLY_ASSIGN_OR_RETURN(const int64_t token_limit,
                           ChunkTokenLimit(input.shape, options_.chunk_token_limit));
    RALLY_ASSIGN_OR_RETURN(const int32_t largest, LargestGroup(input.topology.workers));
    std::vector<DocumentLoad> documents = DocumentLoads(input);
    ChooseGroups(input, largest, &documents);
    PlannedBatch planned;
    std::optional<Plan> packed = PackByWork(input, std::move(documents), token_limit);
    if (packed.has_value()) {
      planned.plan = *std::move(packed);
    } else {
      RALLY_ASSIGN_OR_RETURN(planned.plan, PlaceContextParallel(input, input.topology.workers));
    }
    RALLY_RETURN_IF_ERROR(AssignLocally(input.topology, input.model, &planned.plan));
    planned.report = ReportBalance(planned.plan, {input.topology.workers, 0, false},
                                   input.model.mask, options_.tolerance);
    return planned;
  }

 private:
  absl::StatusOr<int32_t> LargestGroup(int32_t workers) const {
    const int32_t most = options_.context_parallel == 0 ? workers : options_.context_parallel;
    if (most < 1 || most > workers) {
      return absl::InvalidArgumentError(
          absl::StrCat("context_parallel ", most, ", not in [1, ", workers, "] workers"));
    }
    int32_t largest = 1;
    while (2 * largest <= most) largest *= 2;
    return largest;
  }

  // The smallest power of two of workers for which a worker's part of the document is at most a
  // chunk of tokens and at most the mean work of a chunk.
  static void ChooseGroups(const PlanInput& input, int32_t largest,
                           std::vector<DocumentLoad>* documents) {
    double mean = 0.0;
    for (const DocumentLoad& document : *documents) mean += document.load;
    mean /= static_cast<double>(MicroBatchesOf(input) * input.topology.workers);
    for (DocumentLoad& document : *documents) {
      while (document.group < largest &&
             (document.tokens > document.group * input.shape.chunk_tokens ||
              document.load > document.group * mean)) {
        document.group *= 2;
      }
    }
  }

  const PlannerOptions options_;
};

}  // namespace

std::unique_ptr<Planner> MakeHybridPlanner(const PlannerOptions& options) {
  return std::make_unique<HybridPlanner>(options);
}

}  // namespace rally
