#include "workers/profile/attention_rates.h"

#include <algorithm>
#include <cstddef>
#include <cstring>

#include "common/status_macros.h"
#include "scheduler/ca_task.h"

namespace rally {
namespace {

// A call's tasks: as many rows as a nano-batch might have, no more work than this.
constexpr int64_t kRowsPerCall = 1024;
constexpr double kFlopsPerCall = 5e8;

// Values in [-1, 1), the same in every run.
std::vector<float> MakeRows(int64_t size) {
  std::vector<float> rows(static_cast<size_t>(size));
  uint32_t state = 12345;
  for (float& x : rows) {
    state = state * 1664525u + 1013904223u;
    x = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
  }
  return rows;
}

// The same as elements: of a float, the upper bytes.
std::vector<std::byte> MakeElements(int64_t size, AttentionElement element) {
  const int64_t bytes = ElementBytes(element);
  std::vector<std::byte> elements(static_cast<size_t>(size * bytes));
  std::byte* to = elements.data();
  for (const float x : MakeRows(size)) {
    std::memcpy(to, reinterpret_cast<const std::byte*>(&x + 1) - bytes, bytes);
    to += bytes;
  }
  return elements;
}

// Tasks of one document's keys, `count` of them, with query rows of their own.
class TaskBatch {
 public:
  TaskBatch(const ModelShape& model, AttentionElement element, int64_t query_rows,
            int64_t mean_keys) {
    const bool last_rows = 2 * mean_keys >= query_rows + 1;
    const int64_t kv_rows = last_rows ? mean_keys + (query_rows - 1) / 2 : mean_keys;
    const int64_t position = last_rows ? kv_rows - query_rows : kv_rows;
    const auto pairs = static_cast<double>(
        AllowedPairs(position, position + query_rows, 0, kv_rows, AttentionMask{}));
    const double most = std::min(static_cast<double>(kRowsPerCall) / query_rows,
                                 kFlopsPerCall / (pairs * ForwardFlopsPerPair(model)));
    const int64_t count = std::max<int64_t>(1, static_cast<int64_t>(most));
    pairs_ = pairs * static_cast<double>(count);
    const int64_t q_width = model.heads * model.head_dim;
    const int64_t q_bytes = q_width * ElementBytes(element);
    const int64_t q_size = count * query_rows * q_width;
    const int64_t kv_size = kv_rows * model.kv_heads * model.head_dim;
    for (auto* rows : {&q_, &d_out_}) *rows = MakeElements(q_size, element);
    for (auto* rows : {&k_, &v_}) *rows = MakeElements(kv_size, element);
    for (auto* rows : {&out_, &d_q_}) *rows = MakeRows(q_size);
    for (auto* rows : {&d_k_, &d_v_}) *rows = MakeRows(kv_size);
    for (auto* rows : {&lse_, &delta_}) *rows = MakeRows(count * query_rows * model.heads);
    for (int64_t task = 0; task < count; ++task) {
      const int64_t row = task * query_rows;
      tasks_.push_back({.q_rows = query_rows,
                        .kv_rows = kv_rows,
                        .q_position = position,
                        .kv_position = 0,
                        .q = q_.data() + row * q_bytes,
                        .k = k_.data(),
                        .v = v_.data(),
                        .out = out_.data() + row * q_width,
                        .lse = lse_.data() + row * model.heads,
                        .d_out = d_out_.data() + row * q_bytes,
                        .delta = delta_.data() + row * model.heads,
                        .d_q = d_q_.data() + row * q_width,
                        .d_k = d_k_.data(),
                        .d_v = d_v_.data()});
    }
  }

  double pairs() const { return pairs_; }
  const VarlenBatch& tasks() const { return tasks_; }

 private:
  double pairs_ = 0.0;
  std::vector<std::byte> q_, k_, v_, d_out_;
  std::vector<float> out_, lse_, delta_, d_q_, d_k_, d_v_;
  VarlenBatch tasks_;
};

}  // namespace

absl::StatusOr<RateGrid::Points> MeasureAttentionRates(
    const ModelShape& model, AttentionElement element, Direction direction,
    const AttentionGrid& grid, const TimingEffort& effort, AttentionKernel* kernel) {
  const AttentionShape shape{.heads = static_cast<int32_t>(model.heads),
                             .kv_heads = static_cast<int32_t>(model.kv_heads),
                             .head_dim = static_cast<int32_t>(model.head_dim),
                             .element = element};
  RateGrid::Points points;
  for (const int64_t query_rows : grid.query_rows) {
    for (const int64_t mean_keys : grid.mean_keys) {
      const TaskBatch batch(model, element, query_rows, mean_keys);
      // The backward reads the forward's lse.
      RALLY_RETURN_IF_ERROR(kernel->Forward(shape, batch.tasks()));
      const auto call = [&] {
        return direction == Direction::kForward ? kernel->Forward(shape, batch.tasks())
                                                : kernel->Backward(shape, batch.tasks());
      };
      RALLY_ASSIGN_OR_RETURN(const double seconds, TimeCall(effort, call));
      points[{static_cast<double>(query_rows), static_cast<double>(mean_keys)}] =
          batch.pairs() / seconds;
    }
  }
  return points;
}

}  // namespace rally
