#include "scheduler/plan.h"

#include <cstddef>

namespace rally {
namespace {

void AddPairs(const std::vector<CaTask>& tasks, AttentionMask mask, std::vector<int64_t>* pairs) {
  for (const CaTask& task : tasks) {
    (*pairs)[static_cast<size_t>(task.server)] += AllowedPairs(task, mask);
  }
}

}  // namespace

int64_t TargetCount(const Plan& plan) {
  int64_t targets = 0;
  for (const Document& document : plan.documents) targets += document.targets;
  return targets;
}

int64_t TokenCount(const Plan& plan) {
  int64_t tokens = 0;
  for (const Document& document : plan.documents) tokens += document.tokens;
  return tokens;
}

std::vector<int64_t> PairsByRank(const Plan& plan, int micro_batch, int nano_batch,
                                 AttentionMask mask) {
  std::vector<int64_t> pairs(static_cast<size_t>(plan.ranks()));
  AddPairs(plan.micro_batches[micro_batch].tasks[nano_batch], mask, &pairs);
  return pairs;
}

std::vector<int64_t> PairsByRank(const Plan& plan, AttentionMask mask) {
  std::vector<int64_t> pairs(static_cast<size_t>(plan.ranks()));
  for (const MicroBatch& micro_batch : plan.micro_batches) {
    for (const std::vector<CaTask>& tasks : micro_batch.tasks) AddPairs(tasks, mask, &pairs);
  }
  return pairs;
}

}  // namespace rally
