#include "scheduler/head_tail_placer.h"

#include "common/check.h"

namespace rally {

HeadTailPlacer::HeadTailPlacer(Plan* plan)
    : plan_(plan), next_extra_(plan->micro_batches.size() * static_cast<size_t>(plan->workers)) {}

void HeadTailPlacer::Place(int32_t document, int32_t micro_batch, int32_t first_worker,
                           int32_t group) {
  RALLY_CHECK(group >= 1 && first_worker >= 0 && first_worker + group <= plan_->workers,
              "a group outside of the workers");
  const int64_t tokens = plan_->documents[static_cast<size_t>(document)].tokens;
  std::vector<Chunk>& chunks = plan_->micro_batches[static_cast<size_t>(micro_batch)].chunks;
  int64_t& next_extra =
      next_extra_[static_cast<size_t>(micro_batch * plan_->workers + first_worker)];
  const int64_t rows = tokens / (2 * group);   // Of a shard,
  const int64_t extra = tokens % (2 * group);  // or one more, so many times.
  int64_t begin = 0;
  int64_t end = tokens;
  for (int32_t i = 0; i < group; ++i) {
    NanoBatch& shards = chunks[static_cast<size_t>(first_worker + i)].nano_batches[0];
    // Extras go around the group from `next_extra`: this worker is `turn` turns after it.
    const int64_t turn = (i - next_extra % group + group) % group;
    const int64_t head = rows + (turn < extra ? 1 : 0);
    const int64_t tail = rows + (turn + group < extra ? 1 : 0);
    if (i + 1 == group) {  // Head and tail meet.
      if (begin < end) shards.push_back({document, begin, end});
      break;
    }
    if (head > 0) shards.push_back({document, begin, begin + head});
    if (tail > 0) shards.push_back({document, end - tail, end});
    begin += head;
    end -= tail;
  }
  next_extra += extra;
}

Plan EmptyPlan(const GlobalBatch& batch, int32_t workers, int32_t micro_batches) {
  Plan plan;
  plan.workers = workers;
  plan.next_position = batch.next_position;
  for (const std::vector<Document>& group : batch.groups) {
    plan.documents.insert(plan.documents.end(), group.begin(), group.end());
  }
  plan.micro_batches.resize(static_cast<size_t>(micro_batches));
  for (MicroBatch& micro_batch : plan.micro_batches) {
    micro_batch.chunks.resize(static_cast<size_t>(workers));
  }
  return plan;
}

}  // namespace rally
