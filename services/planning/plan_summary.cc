#include "services/planning/plan_summary.h"

#include <algorithm>
#include <cstddef>
#include <numeric>

#include "common/status_macros.h"
#include "services/planning/job_batches.h"

namespace rally {
namespace {

void AddTask(const CaTask& task, const Plan& plan, AttentionMask mask, PlanSummary* summary) {
  RankPart& part = summary->ranks[static_cast<size_t>(task.server)];
  ++part.tasks;
  part.pairs += AllowedPairs(task, mask);
  ++summary->tasks;
  if (task.q_end == plan.documents[static_cast<size_t>(task.document)].tokens) return;
  summary->smallest_query_shard =
      std::min(summary->smallest_query_shard.value_or(task.q_rows()), task.q_rows());
}

}  // namespace

absl::StatusOr<PlanSummary> Summarize(const Plan& plan, const PlanInput& input) {
  PlanSummary summary;
  const AttentionMask mask = input.model.mask;
  RALLY_ASSIGN_OR_RETURN(const Plan local, PlanWithoutPool(input));
  summary.imbalance_without_plan = Imbalance(local, {input.topology.workers}, mask);
  summary.imbalance = Imbalance(plan, input.topology, mask);
  summary.tokens = TokenCount(plan);
  summary.ranks.resize(static_cast<size_t>(plan.ranks()));
  for (const MicroBatch& micro_batch : plan.micro_batches) {
    for (size_t worker = 0; worker < micro_batch.chunks.size(); ++worker) {
      summary.ranks[worker].tokens += TokenCount(micro_batch.chunks[worker]);
    }
    for (const std::vector<CaTask>& tasks : micro_batch.tasks) {
      for (const CaTask& task : tasks) AddTask(task, plan, mask, &summary);
    }
  }
  const PlanTraffic traffic = CountTraffic(plan, input.topology);
  summary.rows = traffic.total();
  for (size_t rank = 0; rank < summary.ranks.size(); ++rank) {
    summary.ranks[rank].received = traffic.to_servers[rank];
  }
  return summary;
}

double TotalBytes(const PlanSummary& summary, Direction direction, const ModelShape& model,
                  int64_t element_bytes) {
  const BytesByLink bytes = LayerBytes(summary.rows, direction, model, element_bytes);
  return std::accumulate(bytes.begin(), bytes.end(), 0.0);
}

}  // namespace rally
