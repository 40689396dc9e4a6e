#include "scheduler/work_packing.h"

#include <algorithm>
#include <cmath>

#include <absl/strings/str_cat.h>

#include "scheduler/document_work.h"
#include "scheduler/head_tail_placer.h"

namespace rally {
namespace {

// A plan with the documents in their seats; none when a chunk holds more tokens than it may, which
// rows left over from cutting documents evenly can bring about.
std::optional<Plan> Seat(const PlanInput& input, absl::Span<const DocumentLoad> documents,
                         absl::Span<const DocumentSeat> seats, int64_t token_limit) {
  Plan plan = EmptyPlan(*input.batch, input.topology.workers, MicroBatchesOf(input));
  HeadTailPlacer placer(&plan);
  for (size_t i = 0; i < seats.size(); ++i) {
    placer.Place(static_cast<int32_t>(i), seats[i].micro_batch, seats[i].first_worker,
                 documents[i].group);
  }
  for (const MicroBatch& micro_batch : plan.micro_batches) {
    for (const Chunk& chunk : micro_batch.chunks) {
      if (TokenCount(chunk) > token_limit) return std::nullopt;
    }
  }
  return plan;
}

}  // namespace

absl::StatusOr<int64_t> ChunkTokenLimit(const BatchShape& shape, double limit) {
  if (!(limit >= 1.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("planner options: chunk_token_limit ", limit, ", not at least 1"));
  }
  return static_cast<int64_t>(std::floor(limit * static_cast<double>(shape.chunk_tokens)));
}

int32_t MicroBatchesOf(const PlanInput& input) {
  int64_t tokens = 0;
  for (const std::vector<Document>& group : input.batch->groups) {
    for (const Document& document : group) tokens += document.tokens;
  }
  const int64_t at_once = input.shape.chunk_tokens * input.topology.workers;
  return static_cast<int32_t>((tokens + at_once - 1) / at_once);
}

std::vector<DocumentLoad> DocumentLoads(const PlanInput& input) {
  const DocumentWork work(input.model, input.costs, input.shape.chunk_tokens);
  std::vector<DocumentLoad> documents;
  for (const std::vector<Document>& group : input.batch->groups) {
    for (const Document& document : group) {
      documents.push_back({document.tokens, work.Of(document.tokens), 1});
    }
  }
  return documents;
}

std::optional<Plan> PackByWork(const PlanInput& input, std::vector<DocumentLoad> documents,
                               int64_t token_limit) {
  for (const bool by_tokens : {false, true}) {
    if (by_tokens) {
      for (DocumentLoad& document : documents) document.load = static_cast<double>(document.tokens);
    }
    const auto seats =
        SpreadLoads(documents, MicroBatchesOf(input), input.topology.workers, token_limit);
    if (!seats.has_value()) continue;
    std::optional<Plan> plan = Seat(input, documents, *seats, token_limit);
    if (plan.has_value()) return plan;
  }
  return std::nullopt;
}

}  // namespace rally
