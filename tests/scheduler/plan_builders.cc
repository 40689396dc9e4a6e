#include "tests/scheduler/plan_builders.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "common/check.h"
#include "scheduler/shard_index.h"

namespace rally::test {
namespace {

int64_t Between(int64_t low, int64_t high, std::mt19937_64* random) {
  return std::uniform_int_distribution<int64_t>(low, high)(*random);
}

// [begin, end) cut into one to four parts.
std::vector<std::pair<int64_t, int64_t>> RandomParts(int64_t begin, int64_t end,
                                                     std::mt19937_64* random) {
  std::vector<int64_t> cuts = {begin, end};
  for (int64_t i = Between(0, 3, random); i > 0; --i) cuts.push_back(Between(begin, end, random));
  std::sort(cuts.begin(), cuts.end());
  std::vector<std::pair<int64_t, int64_t>> parts;
  for (size_t i = 1; i < cuts.size(); ++i) {
    if (cuts[i - 1] < cuts[i]) parts.emplace_back(cuts[i - 1], cuts[i]);
  }
  return parts;
}

}  // namespace

std::vector<int64_t> HeavyTailedLengths(size_t count, double median, int64_t longest,
                                        std::mt19937_64* random) {
  std::lognormal_distribution<double> distribution(std::log(median), 1.5);
  std::vector<int64_t> lengths(count);
  for (int64_t& length : lengths) {
    length = std::clamp<int64_t>(std::llround(distribution(*random)), 1, longest);
  }
  return lengths;
}

Plan PackLengths(const std::vector<int64_t>& lengths, const BatchShape& shape, int32_t workers,
                 bool ping_pong) {
  std::vector<int64_t> sources(lengths.size());
  for (size_t i = 0; i < sources.size(); ++i) sources[i] = static_cast<int64_t>(i);
  BatchSampler sampler(lengths, sources, shape, /*seed=*/1, /*shuffle=*/false);
  auto plan = PackInOrder(*sampler.Sample({}), shape, workers, ping_pong);
  RALLY_CHECK(plan.ok(), std::string(plan.status().message()));
  return *std::move(plan);
}

void AssignRandomly(AttentionMask mask, int32_t dedicated_servers, std::mt19937_64* random,
                    Plan* plan) {
  plan->dedicated_servers = dedicated_servers;
  for (MicroBatch& micro_batch : plan->micro_batches) {
    const ShardIndex index(micro_batch);
    for (auto& tasks : micro_batch.tasks) tasks.clear();
    for (const ShardPlace& place : index.places()) {
      for (const auto& [q_begin, q_end] : RandomParts(place.begin, place.end, random)) {
        for (const auto& [kv_begin, kv_end] : RandomParts(0, q_end, random)) {
          const CaTask task{
              place.document, q_begin, q_end,
              kv_begin,       kv_end,  static_cast<int32_t>(Between(0, plan->ranks() - 1, random))};
          if (AllowedPairs(task, mask) == 0) continue;
          micro_batch.tasks[place.nano_batch].push_back(
              Between(0, 1, random) == 0 ? task : TrimToMask(task, mask));
        }
      }
    }
    for (auto& tasks : micro_batch.tasks) std::shuffle(tasks.begin(), tasks.end(), *random);
  }
}

}  // namespace rally::test
