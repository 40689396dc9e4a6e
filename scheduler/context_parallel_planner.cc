#include <algorithm>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/baseline_planners.h"
#include "scheduler/head_tail_placer.h"
#include "scheduler/shard_index.h"

namespace rally {
namespace {

// Ring attention's tasks: each query shard against the key shards of one owner after the other.
// Neighbouring key shards shorter than `least_rows` together make one step.
void AssignRingSteps(AttentionMask mask, int64_t least_rows, MicroBatch* micro_batch) {
  const ShardIndex index(*micro_batch);
  for (const ShardPlace& queries : index.places()) {
    const int64_t first_key = FirstAllowedKey(queries.begin, mask);
    int64_t key = first_key;
    for (const ShardPlace& owner : index.Find(queries.document, first_key, queries.end)) {
      if (owner.end < queries.end && owner.end - key < least_rows) continue;
      const CaTask step = TrimToMask({queries.document, queries.begin, queries.end, key,
                                      std::min(owner.end, queries.end), queries.home},
                                     mask);
      if (step.q_rows() > 0) micro_batch->tasks[0].push_back(step);
      key = owner.end;
    }
  }
}

absl::Status CheckGroup(const std::vector<Document>& documents, const BatchShape& shape) {
  int64_t tokens = 0;
  for (const Document& document : documents) tokens += document.tokens;
  const int64_t most = shape.chunks_per_group() * shape.chunk_tokens;
  if (tokens <= most) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("a group of documents of ", tokens, " tokens, more than its chunks' ", most));
}

class ContextParallelPlanner final : public Planner {
 public:
  ContextParallelPlanner(bool ring, const PlannerOptions& options)
      : ring_(ring), options_(options) {}

  absl::StatusOr<PlannedBatch> MakePlan(const PlanInput& input) override {
    const Topology workers{input.topology.workers, 0, false};
    PlannedBatch planned;
    RALLY_ASSIGN_OR_RETURN(planned.plan, PlaceContextParallel(input, options_.context_parallel));
    RALLY_RETURN_IF_ERROR(AssignLocally(input.topology, input.model, &planned.plan));
    if (ring_) {
      for (MicroBatch& micro_batch : planned.plan.micro_batches) {
        micro_batch.tasks[0].clear();
        AssignRingSteps(input.model.mask, options_.query_granularity, &micro_batch);
      }
    }
    planned.report = ReportBalance(planned.plan, workers, input.model.mask, options_.tolerance);
    return planned;
  }

 private:
  const bool ring_;
  const PlannerOptions options_;
};

}  // namespace

absl::StatusOr<Plan> PlaceContextParallel(const PlanInput& input, int32_t group) {
  const int32_t workers = input.topology.workers;
  const int64_t group_chunks = input.shape.chunks_per_group();
  if (group == 0) group = workers;
  if (group < 1 || workers % group != 0 || group % group_chunks != 0) {
    return absl::InvalidArgumentError(
        absl::StrCat("context_parallel ", group, " is not a divisor of ", workers,
                     " workers that is a multiple of the ", group_chunks, " chunks a document of ",
                     input.shape.max_document_tokens, " tokens may span"));
  }
  const int64_t groups_at_once = workers / group_chunks;
  const auto groups = static_cast<int64_t>(input.batch->groups.size());
  Plan plan = EmptyPlan(*input.batch, workers,
                        static_cast<int32_t>((groups + groups_at_once - 1) / groups_at_once));
  HeadTailPlacer placer(&plan);
  int32_t document = 0;
  for (int64_t i = 0; i < groups; ++i) {
    const std::vector<Document>& documents = input.batch->groups[static_cast<size_t>(i)];
    RALLY_RETURN_IF_ERROR(CheckGroup(documents, input.shape));
    const auto micro_batch = static_cast<int32_t>(i / groups_at_once);
    const auto chunk = static_cast<int32_t>(i % groups_at_once * group_chunks);
    for (size_t j = 0; j < documents.size(); ++j) {
      placer.Place(document++, micro_batch, chunk / group * group, group);
    }
  }
  return plan;
}

std::unique_ptr<Planner> MakeContextParallelPlanner(bool ring, const PlannerOptions& options) {
  return std::make_unique<ContextParallelPlanner>(ring, options);
}

}  // namespace rally
