// HeadTailPlacer: lays documents over groups of workers as context parallelism does.
//
// Of g workers, worker i holds shards i and 2g - 1 - i of a document cut into 2g: with a causal
// mask each then has the same work, as a head shard has few keys and its tail shard many. Shards of
// a document differ by one row at most. All rows are in nano-batch 0: such systems have no second
// one to compute while the first one's keys travel.
//
// Owns nothing; one thread.
#ifndef RALLY_SCHEDULER_HEAD_TAIL_PLACER_H_
#define RALLY_SCHEDULER_HEAD_TAIL_PLACER_H_

#include <cstdint>
#include <vector>

#include "scheduler/batch_sampler.h"
#include "scheduler/plan.h"

namespace rally {

class HeadTailPlacer {
 public:
  // Borrows a plan whose documents and empty chunks are set.
  explicit HeadTailPlacer(Plan* plan);

  // Adds a document to workers [first_worker, first_worker + group) of a micro-batch. Where the
  // same groups are used throughout, their workers' rows differ by one at most.
  void Place(int32_t document, int32_t micro_batch, int32_t first_worker, int32_t group);

 private:
  Plan* const plan_;
  // Who is next to take a row more than others, by micro-batch and a group's first worker.
  std::vector<int64_t> next_extra_;
};

// A plan of every document of the batch, in its order, with `micro_batches` micro-batches of empty
// chunks.
Plan EmptyPlan(const GlobalBatch& batch, int32_t workers, int32_t micro_batches);

}  // namespace rally

#endif  // RALLY_SCHEDULER_HEAD_TAIL_PLACER_H_
