// GreedyBalancer: the greedy of arXiv 2510.18121 for the core attention of one phase, as its public
// artefact has it, for comparison with Rally's own.
//
// Starts from every query row at its home. A slice of a document is seen as nested rings: its first
// row with its last, its second with its last but one, and so on. In a causal mask the two rows of
// a ring always cost begin + end + 1 pairs together, so any number of rings, taken from the middle
// outwards, is a known amount of work. For each server short of work, most short first, it moves
// what has the fewest bytes per pair from any server with a surplus, until the server holds
// (1 - tolerance) of the mean.
//
// Kept as published: no server is drained to the tolerance, cuts follow no granularity, a server is
// given up at the first move that comes to no ring, every server and link is alike, and the
// estimate of bytes counts one query row of a ring, no output, and the whole prefix of keys
// whatever the server has already. Added, where the published planner does not go: the middle row
// of an odd slice is an item of its own, which only moves as a whole; a phase may hold the later
// slice of a document alone; under a window a number of rings is found by bisection; work on ranks
// outside of the pool ends on the server with the least.
//
// Deterministic. Use one object once, from one thread. Cost: moves * items.
#ifndef RALLY_SCHEDULER_GREEDY_BALANCER_H_
#define RALLY_SCHEDULER_GREEDY_BALANCER_H_

#include <cstdint>
#include <vector>

#include <absl/types/span.h>

#include "scheduler/model_shape.h"
#include "scheduler/plan.h"
#include "scheduler/shard_index.h"
#include "scheduler/topology.h"

namespace rally {

class GreedyBalancer {
 public:
  // `index` is of a micro-batch packed in rings (packing.h), borrowed for the constructor; the
  // topology has a pool. `tolerance` in (0, 1].
  GreedyBalancer(const ShardIndex& index, int nano_batch, const Topology& topology,
                 const ModelShape& model, double tolerance);

  // The tasks of the phase, ordered by document and row.
  std::vector<CaTask> Run();

 private:
  // Rings of one slice on one server: rows [head_end - rings, head_end) and [tail_begin, tail_begin
  // + rings). Or, with no ring, the one row `tail_begin`.
  struct Item {
    int32_t document = 0;
    int32_t home = 0;
    int32_t server = 0;
    int64_t rings = 0;
    int64_t head_end = 0;
    int64_t tail_begin = 0;
    int64_t slice_end = 0;  // Rows of keys that its last query may see.
    int64_t pairs = 0;
  };

  // The shards [first, last) of one document in this phase.
  void AddDocument(absl::Span<const ShardPlace> places);
  void AddItem(Item item);
  // Pairs of the `rings` innermost rings of an item, or of its single row.
  int64_t PairsOf(const Item& item, int64_t rings) const;
  double BytesPerPair(const Item& item, double pairs) const;
  // Pairs that may move from `item` to a server that needs `needed`.
  double MostPairs(const Item& item, double needed) const;

  void Fill(int32_t server);
  // Moves up to `wanted` pairs of an item; 0 when not even a ring is that small.
  int64_t Move(size_t item, double wanted, int32_t server);
  void LeaveOtherRanks();
  std::vector<CaTask> CollectTasks() const;

  const Topology topology_;
  const AttentionMask mask_;
  const double query_row_bytes_;
  const double key_value_row_bytes_;
  const double tolerance_;
  std::vector<Item> items_;
  std::vector<double> surplus_;  // Pairs above what the rank should have. [ranks]
  double mean_ = 0.0;            // Pairs per server.
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_GREEDY_BALANCER_H_
