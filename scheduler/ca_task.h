// A CA-task: core attention of some query rows of one document against some of its key/value rows.
//
// Positions count from the document's start. The mask decides which (query, key) pairs inside the
// task's rectangle are allowed; AllowedPairs counts them. A task's queries all lie in one document
// shard, so a task has exactly one home; its keys may come from several.
//
// Plain data, safe to copy and to read from any thread.
#ifndef RALLY_SCHEDULER_CA_TASK_H_
#define RALLY_SCHEDULER_CA_TASK_H_

#include <cstdint>

namespace rally {

// Which keys a query at position i may see: j <= i, and with a sliding window of w > 0 also
// j > i - w. window == 0 means plain causal attention.
struct AttentionMask {
  int64_t window = 0;

  friend bool operator==(const AttentionMask&, const AttentionMask&) = default;
};

// What a task's rows of q, k, v and d_out are made of; whatever else a task has is float32. A
// bfloat16 is the upper half of a float32, in the processor's byte order.
enum class AttentionElement : uint8_t { kFloat32 = 0, kBfloat16 };

constexpr int64_t ElementBytes(AttentionElement element) {
  return element == AttentionElement::kBfloat16 ? 2 : 4;
}

struct CaTask {
  int32_t document = 0;  // Index into Plan::documents.
  int64_t q_begin = 0;   // Query rows [q_begin, q_end), positions in the document.
  int64_t q_end = 0;
  int64_t kv_begin = 0;  // Key/value rows [kv_begin, kv_end), positions in the document.
  int64_t kv_end = 0;
  int32_t server = 0;  // Rank that computes it: a worker in place, or a dedicated server.

  int64_t q_rows() const { return q_end - q_begin; }
  int64_t kv_rows() const { return kv_end - kv_begin; }
  friend bool operator==(const CaTask&, const CaTask&) = default;
};

// Allowed (query, key) pairs in the rectangle [q_begin, q_end) x [kv_begin, kv_end). Exact, O(1),
// for positions up to 2^31.
int64_t AllowedPairs(int64_t q_begin, int64_t q_end, int64_t kv_begin, int64_t kv_end,
                     AttentionMask mask);
inline int64_t AllowedPairs(const CaTask& task, AttentionMask mask) {
  return AllowedPairs(task.q_begin, task.q_end, task.kv_begin, task.kv_end, mask);
}

// The first key that a query at `position` may see.
inline int64_t FirstAllowedKey(int64_t position, AttentionMask mask) {
  return mask.window > 0 && position >= mask.window ? position - mask.window + 1 : 0;
}

// The smallest rectangle that holds the task's allowed pairs; no rows when there are none.
CaTask TrimToMask(CaTask task, AttentionMask mask);

}  // namespace rally

#endif  // RALLY_SCHEDULER_CA_TASK_H_
