// BackwardSchedule: how the backward of a batch is cut, and in which order sums are made.
//
// A unit is one block of keys of one key/value head of one task. Units run in any number of
// threads, taken in order. Two sums cross units, and both have a fixed order, so that the result
// does not depend on the number of threads:
//   d_q of a query block adds up over key blocks, first to last: a unit waits for its turn.
//   d_k and d_v rows that tasks share add up in task order: a unit that is ready to add waits until
//   all units of the task before (of those sharing rows with it) have added.
// A unit only waits for units before it, so in-order taking can not deadlock.
//
// Build reuses its memory. After Build everything but the turns is read-only; the turns are atomic.
#ifndef RALLY_WORKERS_ATTENTION_BACKWARD_SCHEDULE_H_
#define RALLY_WORKERS_ATTENTION_BACKWARD_SCHEDULE_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include <absl/types/span.h>

#include "workers/attention/attention_kernel.h"
#include "workers/attention/attention_tiles.h"

namespace rally {

struct BackwardUnit {
  int32_t task;
  int32_t kv_head;
  int32_t key_block;
};

// Blocks [begin, end).
struct BlockRange {
  int64_t begin;
  int64_t end;
};

class BackwardSchedule {
 public:
  void Build(const AttentionShape& shape, absl::Span<const VarlenTask> tasks);

  const std::vector<BackwardUnit>& units() const { return units_; }
  // Rows of a query block and of a key block; the last of a task may be shorter.
  int32_t block() const { return block_; }

  // Allowed pairs of a task, from its query row 0 and key row 0.
  TileMask mask(const VarlenTask& task) const;
  // Query blocks that may see some key of `key_block`, and the other way round.
  BlockRange QueryBlocks(const VarlenTask& task, int64_t key_block) const;
  BlockRange KeyBlocks(const VarlenTask& task, int64_t query_block) const;

  // Waits until d_q of (head, query block) holds the sums of all earlier key blocks, and passes it
  // on.
  void AwaitQueryTurn(const BackwardUnit& unit, const VarlenTask& task, int64_t head,
                      int64_t query_block);
  void EndQueryTurn(const BackwardUnit& unit, int64_t head, int64_t query_block);
  // The same for the unit's rows of d_k and d_v.
  void AwaitKeyTurn(const BackwardUnit& unit);
  void EndKeyTurn(const BackwardUnit& unit);

 private:
  struct TaskTurns {
    int64_t query_turns;  // Index of the turn of (head 0, query block 0).
    int64_t query_blocks;
    int64_t key_turns;  // Index of the turn of key/value head 0.
    int32_t units;      // Of each key/value head.
    int32_t before;     // Task that adds to shared d_k and d_v rows just before this one, or -1.
  };

  // Blocks that hold rows [begin, end).
  BlockRange BlocksOf(int64_t begin, int64_t end) const;
  void AddUnits(const AttentionShape& shape, absl::Span<const VarlenTask> tasks);
  void ChainSharedRows(const AttentionShape& shape, absl::Span<const VarlenTask> tasks);
  void JoinOverlaps(absl::Span<const VarlenTask> tasks, float* VarlenTask::*rows, int64_t row);
  int32_t Root(int32_t task);
  std::atomic<int32_t>& QueryTurn(const BackwardUnit& unit, int64_t head, int64_t query_block);

  int32_t block_ = 0;
  int64_t window_ = 0;
  std::vector<BackwardUnit> units_;
  std::vector<TaskTurns> turns_of_;  // [tasks]
  std::vector<int32_t> order_;       // Scratch of JoinOverlaps.
  std::vector<int32_t> parent_;      // [tasks], a forest of tasks that share rows.
  std::vector<int32_t> last_;        // [tasks], scratch of ChainSharedRows.
  std::unique_ptr<std::atomic<int32_t>[]> turns_;
  int64_t turns_capacity_ = 0;
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_BACKWARD_SCHEDULE_H_
