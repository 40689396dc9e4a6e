#include "tests/bench/bench_plans.h"

#include <utility>

#include "common/status_macros.h"
#include "scheduler/batch_sampler.h"
#include "scheduler/check_plan.h"
#include "scheduler/packing.h"
#include "scheduler/planner.h"

namespace rally::bench {

absl::StatusOr<Plan> MakeBenchPlan(const JobSpec& spec, const ChunkLengths& lengths,
                                   bool balanced) {
  GlobalBatch batch;
  int64_t source = 0;
  for (const std::vector<int64_t>& chunk : lengths) {
    std::vector<Document>& group = batch.groups.emplace_back();
    for (const int64_t tokens : chunk) group.push_back({source++, 0, tokens, tokens - 1});
  }
  PlanInput input;
  input.batch = &batch;
  input.shape = spec.batch;
  input.topology = spec.topology();
  input.model = spec.model;
  input.ping_pong = spec.training.ping_pong;
  RALLY_ASSIGN_OR_RETURN(PlannedBatch planned,
                         MakePlanner(balanced ? PlannerKind::kArrival : PlannerKind::kLocal,
                                     {.tolerance = spec.attention.tolerance})
                             ->MakePlan(input));
  RALLY_RETURN_IF_ERROR(CheckPlan(planned.plan, spec.model.mask));
  return std::move(planned.plan);
}

ChunkLengths OneLongDocument(int32_t workers, int64_t chunk_tokens, int64_t short_tokens) {
  ChunkLengths lengths(static_cast<size_t>(workers));
  lengths[0] = {chunk_tokens};
  for (size_t worker = 1; worker < lengths.size(); ++worker) {
    for (int64_t left = chunk_tokens; left > 0; left -= short_tokens) {
      lengths[worker].push_back(std::min(left, short_tokens));
    }
  }
  return lengths;
}

}  // namespace rally::bench
