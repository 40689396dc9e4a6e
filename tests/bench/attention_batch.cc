#include "tests/bench/attention_batch.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "scheduler/ca_task.h"

namespace rally::bench {
namespace {

// The lengths of a real collection, the one that arXiv 2510.18121 calls "pretrain" (quantiles from
// its public artefact), cut at a context of 4,096.
constexpr int64_t kTasks = 1000;
constexpr int64_t kContext = 4096;
constexpr std::pair<double, int64_t> kLengthQuantiles[] = {{0.0, 1},    {0.1, 646},   {0.25, 1606},
                                                           {0.5, 3227}, {0.75, 4832}, {1.0, 4832}};

int64_t LengthAt(double quantile) {
  size_t next = 1;
  while (kLengthQuantiles[next].first < quantile) ++next;
  const auto [q0, tokens0] = kLengthQuantiles[next - 1];
  const auto [q1, tokens1] = kLengthQuantiles[next];
  const double part = (quantile - q0) / (q1 - q0);
  const double tokens =
      static_cast<double>(tokens0) + part * static_cast<double>(tokens1 - tokens0);
  return std::min(static_cast<int64_t>(tokens), kContext);
}

}  // namespace

std::vector<TaskRows> DocumentRows() {
  constexpr int64_t kStride = 617;  // No common factor with the tasks.
  std::vector<TaskRows> rows;
  for (int64_t i = 0; i < kTasks; ++i) {
    const auto place = static_cast<double>(i * kStride % kTasks);
    const int64_t tokens = LengthAt((place + 0.5) / kTasks);
    rows.push_back({tokens, tokens});
  }
  return rows;
}

AttentionBatch::AttentionBatch(const std::vector<TaskRows>& tasks, const AttentionShape& shape)
    : shape_(shape) {
  for (const TaskRows& rows : tasks) {
    q_rows_ += rows.q_rows;
    kv_rows_ += rows.kv_rows;
  }
  const int64_t q_row = int64_t{shape.heads} * shape.head_dim;
  const int64_t kv_row = int64_t{shape.kv_heads} * shape.head_dim;
  const std::vector<float*> of_queries = Make(2, q_rows_ * q_row);
  const std::vector<float*> of_keys = Make(2, kv_rows_ * kv_row);
  const std::vector<float*> of_rows = Make(2, q_rows_ * shape.heads);
  const std::vector<const std::byte*> queries = MakeElements(2, q_rows_ * q_row);
  const std::vector<const std::byte*> keys = MakeElements(2, kv_rows_ * kv_row);
  const int64_t size = ElementBytes(shape.element);
  int64_t q = 0;
  int64_t kv = 0;
  for (const TaskRows& rows : tasks) {
    tasks_.push_back({.q_rows = rows.q_rows,
                      .kv_rows = rows.kv_rows,
                      .q_position = rows.kv_rows - rows.q_rows,
                      .kv_position = 0,
                      .q = queries[0] + q * q_row * size,
                      .k = keys[0] + kv * kv_row * size,
                      .v = keys[1] + kv * kv_row * size,
                      .out = of_queries[0] + q * q_row,
                      .lse = of_rows[0] + q * shape.heads,
                      .d_out = queries[1] + q * q_row * size,
                      .delta = of_rows[1] + q * shape.heads,
                      .d_q = of_queries[1] + q * q_row,
                      .d_k = of_keys[0] + kv * kv_row,
                      .d_v = of_keys[1] + kv * kv_row});
    q += rows.q_rows;
    kv += rows.kv_rows;
  }
}

std::vector<Slice> AttentionBatch::Cut(bool backward, double flops) const {
  std::vector<Slice> slices;
  for (const VarlenTask& task : tasks_) {
    if (slices.empty() || slices.back().flops >= flops) slices.push_back({{&task, 0}, 0.0});
    Slice& slice = slices.back();
    slice.tasks = {slice.tasks.data(), slice.tasks.size() + 1};
    slice.flops += Flops(task, backward);
  }
  return slices;
}

double AttentionBatch::Flops(const VarlenTask& task, bool backward) const {
  const auto pairs = static_cast<double>(
      AllowedPairs(task.q_position, task.q_position + task.q_rows, 0, task.kv_rows, shape_.mask));
  return (backward ? 10.0 : 4.0) * shape_.heads * shape_.head_dim * pairs;
}

std::vector<const std::byte*> AttentionBatch::MakeElements(int count, int64_t elements) {
  std::vector<const std::byte*> made;
  for (const float* values : Make(count, elements)) {
    const auto* bytes = reinterpret_cast<const std::byte*>(values);
    if (shape_.element == AttentionElement::kBfloat16) {
      buffers_.push_back(pool_.Allocate(static_cast<size_t>(elements) * sizeof(uint16_t)));
      auto* halves = reinterpret_cast<uint16_t*>(buffers_.back().data());
      for (int64_t i = 0; i < elements; ++i) {
        halves[i] = static_cast<uint16_t>(std::bit_cast<uint32_t>(values[i]) >> 16);
      }
      bytes = buffers_.back().data();
    }
    made.push_back(bytes);
  }
  return made;
}

std::vector<float*> AttentionBatch::Make(int count, int64_t floats) {
  std::vector<float*> made;
  for (int i = 0; i < count; ++i) {
    buffers_.push_back(pool_.Allocate(static_cast<size_t>(floats) * sizeof(float)));
    uint32_t state = 12345;
    for (float& x : buffers_.back().floats()) {
      state = state * 1664525u + 1013904223u;
      x = static_cast<float>(static_cast<int32_t>(state)) * 0x1p-31f;
    }
    made.push_back(buffers_.back().floats().data());
  }
  return made;
}

}  // namespace rally::bench
