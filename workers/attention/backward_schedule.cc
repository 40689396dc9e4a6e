#include "workers/attention/backward_schedule.h"

#include <algorithm>
#include <functional>
#include <thread>

namespace rally {
namespace {

constexpr int64_t kNoWindow = int64_t{1} << 60;

int64_t BlocksFor(int64_t rows, int64_t block) { return (rows + block - 1) / block; }

// The awaited unit is running on another thread: first look often, then let it have the core.
void AwaitValue(const std::atomic<int32_t>& turn, int32_t value) {
  for (int looks = 0; turn.load(std::memory_order_acquire) != value; ++looks) {
    if (looks > 1000) std::this_thread::yield();
  }
}

}  // namespace

void BackwardSchedule::Build(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) {
  // The block's seven matrices [block, head_dim] share the second-level cache.
  block_ = shape.head_dim <= 128 ? kBackwardRows : 96;
  window_ = shape.mask.window > 0 ? std::min(shape.mask.window, kNoWindow) : kNoWindow;
  AddUnits(shape, tasks);
  ChainSharedRows(shape, tasks);
}

void BackwardSchedule::AddUnits(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) {
  units_.clear();
  turns_of_.clear();
  int64_t turns = 0;
  for (size_t t = 0; t < tasks.size(); ++t) {
    const VarlenTask& task = tasks[t];
    TaskTurns task_turns{.query_turns = turns,
                         .query_blocks = BlocksFor(task.q_rows, block_),
                         .key_turns = 0,
                         .units = 0,
                         .before = -1};
    turns += shape.heads * task_turns.query_blocks;
    task_turns.key_turns = turns;
    turns += shape.kv_heads;
    const int64_t key_blocks = BlocksFor(task.kv_rows, block_);
    // Heads inside: units that run side by side are then of different heads, and wait for no turn.
    for (int64_t key_block = 0; key_block < key_blocks; ++key_block) {
      const BlockRange queries = QueryBlocks(task, key_block);
      if (queries.begin >= queries.end) continue;
      for (int32_t kv_head = 0; kv_head < shape.kv_heads; ++kv_head) {
        units_.push_back({static_cast<int32_t>(t), kv_head, static_cast<int32_t>(key_block)});
      }
      ++task_turns.units;
    }
    turns_of_.push_back(task_turns);
  }
  if (turns > turns_capacity_) {
    turns_capacity_ = turns;
    turns_ = std::make_unique<std::atomic<int32_t>[]>(static_cast<size_t>(turns));
  }
  for (int64_t i = 0; i < turns; ++i) turns_[i].store(0, std::memory_order_relaxed);
}

TileMask BackwardSchedule::mask(const VarlenTask& task) const {
  return {.diagonal = task.q_position - task.kv_position, .window = window_};
}

BlockRange BackwardSchedule::QueryBlocks(const VarlenTask& task, int64_t key_block) const {
  const int64_t diagonal = task.q_position - task.kv_position;
  const int64_t first_key = key_block * block_;
  const int64_t last_key = std::min(first_key + block_, task.kv_rows) - 1;
  // Row i sees key j when j - diagonal <= i < j - diagonal + window.
  return BlocksOf(first_key - diagonal, std::min(task.q_rows, last_key - diagonal + window_));
}

BlockRange BackwardSchedule::KeyBlocks(const VarlenTask& task, int64_t query_block) const {
  const int64_t diagonal = task.q_position - task.kv_position;
  const int64_t first_row = query_block * block_;
  const int64_t last_row = std::min(first_row + block_, task.q_rows) - 1;
  // Key j is seen by row i when i + diagonal - window < j <= i + diagonal.
  return BlocksOf(first_row + diagonal - window_ + 1,
                  std::min(task.kv_rows, last_row + diagonal + 1));
}

BlockRange BackwardSchedule::BlocksOf(int64_t begin, int64_t end) const {
  begin = std::max<int64_t>(begin, 0);
  if (begin >= end) return {0, 0};
  return {begin / block_, (end + block_ - 1) / block_};
}

std::atomic<int32_t>& BackwardSchedule::QueryTurn(const BackwardUnit& unit, int64_t head,
                                                  int64_t query_block) {
  const TaskTurns& turns = turns_of_[unit.task];
  return turns_[turns.query_turns + head * turns.query_blocks + query_block];
}

void BackwardSchedule::AwaitQueryTurn(const BackwardUnit& unit, const VarlenTask& task,
                                      int64_t head, int64_t query_block) {
  const int64_t earlier = unit.key_block - KeyBlocks(task, query_block).begin;
  AwaitValue(QueryTurn(unit, head, query_block), static_cast<int32_t>(earlier));
}

void BackwardSchedule::EndQueryTurn(const BackwardUnit& unit, int64_t head, int64_t query_block) {
  QueryTurn(unit, head, query_block).fetch_add(1, std::memory_order_release);
}

void BackwardSchedule::AwaitKeyTurn(const BackwardUnit& unit) {
  const int32_t before = turns_of_[unit.task].before;
  if (before < 0) return;
  const TaskTurns& turns = turns_of_[before];
  AwaitValue(turns_[turns.key_turns + unit.kv_head], turns.units);
}

void BackwardSchedule::EndKeyTurn(const BackwardUnit& unit) {
  turns_[turns_of_[unit.task].key_turns + unit.kv_head].fetch_add(1, std::memory_order_acq_rel);
}

int32_t BackwardSchedule::Root(int32_t task) {
  while (parent_[task] != task) task = parent_[task] = parent_[parent_[task]];
  return task;
}

// Puts tasks whose `rows` overlap into one tree.
void BackwardSchedule::JoinOverlaps(absl::Span<const VarlenTask> tasks, float* VarlenTask::*rows,
                                    int64_t row) {
  order_.clear();
  for (size_t t = 0; t < tasks.size(); ++t) {
    if (turns_of_[t].units > 0) order_.push_back(static_cast<int32_t>(t));
  }
  std::sort(order_.begin(), order_.end(), [&](int32_t a, int32_t b) {
    return std::less<const float*>()(tasks[a].*rows, tasks[b].*rows);
  });
  const float* end = nullptr;
  for (size_t i = 0; i < order_.size(); ++i) {
    const VarlenTask& task = tasks[order_[i]];
    if (i > 0 && std::less<const float*>()(task.*rows, end)) {
      parent_[Root(order_[i])] = Root(order_[i - 1]);
    }
    end = std::max(end, static_cast<const float*>(task.*rows + task.kv_rows * row),
                   std::less<const float*>());
  }
}

void BackwardSchedule::ChainSharedRows(const AttentionShape& shape,
                                       absl::Span<const VarlenTask> tasks) {
  const int64_t row = int64_t{shape.kv_heads} * shape.head_dim;
  parent_.resize(tasks.size());
  for (size_t t = 0; t < tasks.size(); ++t) parent_[t] = static_cast<int32_t>(t);
  JoinOverlaps(tasks, &VarlenTask::d_k, row);
  JoinOverlaps(tasks, &VarlenTask::d_v, row);
  last_.assign(tasks.size(), -1);
  for (size_t t = 0; t < tasks.size(); ++t) {
    if (turns_of_[t].units == 0) continue;
    int32_t& last = last_[Root(static_cast<int32_t>(t))];
    turns_of_[t].before = last;
    last = static_cast<int32_t>(t);
  }
}

}  // namespace rally
