#include "scheduler/collected_phases.h"

#include <algorithm>

#include "scheduler/shard_index.h"

namespace rally {

int64_t CollectedPhases::first() const {
  return by_worker.empty() ? 0 : *std::min_element(by_worker.begin(), by_worker.end());
}

int64_t CollectedPhases::end() const {
  return by_worker.empty() ? 0 : *std::max_element(by_worker.begin(), by_worker.end());
}

std::vector<CaTask> OpenTasks(const Plan& plan, const Phase& phase, int64_t index,
                              const CollectedPhases& collected) {
  const MicroBatch& micro_batch = plan.micro_batches[phase.micro_batch];
  const std::vector<CaTask>& tasks = micro_batch.tasks[phase.nano_batch];
  if (index >= collected.end()) return tasks;
  const ShardIndex shards(micro_batch);
  const auto awaited = [&](int32_t document, int64_t begin, int64_t end) {
    const auto places = shards.Find(document, begin, end);
    return std::any_of(places.begin(), places.end(), [&](const ShardPlace& place) {
      return collected.Awaits(place.home, index);
    });
  };
  std::vector<CaTask> open;
  for (const CaTask& task : tasks) {
    const bool wanted = awaited(task.document, task.q_begin, task.q_end) ||
                        (phase.direction == Direction::kBackward &&
                         awaited(task.document, task.kv_begin, task.kv_end));
    if (wanted) open.push_back(task);
  }
  return open;
}

}  // namespace rally
