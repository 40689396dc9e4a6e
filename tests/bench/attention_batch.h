// AttentionBatch: tasks for the attention bench, and their rows.
#ifndef RALLY_TESTS_BENCH_ATTENTION_BATCH_H_
#define RALLY_TESTS_BENCH_ATTENTION_BATCH_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include <absl/types/span.h>

#include "workers/attention/attention_kernel.h"
#include "workers/transport/buffer.h"

namespace rally::bench {

struct TaskRows {
  int64_t q_rows;
  int64_t kv_rows;
};

// Of 1,000 whole documents of at most 4,096 tokens, in an order that has nothing to do with length.
std::vector<TaskRows> DocumentRows();

// Adjacent tasks of a batch, which are computed at once.
struct Slice {
  absl::Span<const VarlenTask> tasks;
  double flops;
};

// Values in [-1, 1), the same in every run. The queries are the last rows of the keys' range, as in
// a document's last shard. Not copyable: tasks point into it.
class AttentionBatch {
 public:
  AttentionBatch(const std::vector<TaskRows>& tasks, const AttentionShape& shape);

  const AttentionShape& shape() const { return shape_; }
  int64_t task_count() const { return static_cast<int64_t>(tasks_.size()); }
  int64_t q_rows() const { return q_rows_; }  // Of all tasks, as kv_rows.
  int64_t kv_rows() const { return kv_rows_; }

  // All tasks in their order, in slices of `flops` or some more each; they live as long as this.
  std::vector<Slice> Cut(bool backward, double flops) const;

 private:
  double Flops(const VarlenTask& task, bool backward) const;
  // `count` tensors of floats, or of the shape's elements: the same values, cut off after a
  // bfloat16's bits.
  std::vector<float*> Make(int count, int64_t floats);
  std::vector<const std::byte*> MakeElements(int count, int64_t elements);

  const AttentionShape shape_;
  int64_t q_rows_ = 0;
  int64_t kv_rows_ = 0;
  BufferPool pool_;
  std::vector<Buffer> buffers_;
  VarlenBatch tasks_;
};

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_ATTENTION_BATCH_H_
