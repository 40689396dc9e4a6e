#include "scheduler/ca_task.h"

#include <algorithm>

namespace rally {
namespace {

// Sum over y < x of y clamped to [0, limit].
int64_t SumClamped(int64_t x, int64_t limit) {
  if (x <= 0) return 0;
  if (x <= limit + 1) return x * (x - 1) / 2;
  return limit * (limit + 1) / 2 + (x - 1 - limit) * limit;
}

// Pairs of the rectangle with key <= query. Query i sees clamp(i + 1 - kv_begin, 0, kv_rows) keys.
int64_t CausalPairs(int64_t q_begin, int64_t q_end, int64_t kv_begin, int64_t kv_end) {
  const int64_t kv_rows = kv_end - kv_begin;
  return SumClamped(q_end + 1 - kv_begin, kv_rows) - SumClamped(q_begin + 1 - kv_begin, kv_rows);
}

}  // namespace

int64_t AllowedPairs(int64_t q_begin, int64_t q_end, int64_t kv_begin, int64_t kv_end,
                     AttentionMask mask) {
  if (q_begin >= q_end || kv_begin >= kv_end) return 0;
  const int64_t pairs = CausalPairs(q_begin, q_end, kv_begin, kv_end);
  if (mask.window == 0) return pairs;
  // Keys at or before query - window are out of sight: causal pairs of queries moved back.
  return pairs - CausalPairs(q_begin - mask.window, q_end - mask.window, kv_begin, kv_end);
}

CaTask TrimToMask(CaTask task, AttentionMask mask) {
  if (AllowedPairs(task, mask) == 0) {
    task.q_end = task.q_begin;
    task.kv_end = task.kv_begin;
    return task;
  }
  task.q_begin = std::max(task.q_begin, task.kv_begin);
  if (mask.window > 0) task.q_end = std::min(task.q_end, task.kv_end - 1 + mask.window);
  task.kv_end = std::min(task.kv_end, task.q_end);
  task.kv_begin = std::max(task.kv_begin, FirstAllowedKey(task.q_begin, mask));
  return task;
}

}  // namespace rally
