#include "tests/attention/attention_case.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "tests/attention/bfloat16.h"

namespace rally {

AttentionCase::AttentionCase(const AttentionShape& s, int64_t queries, int64_t keys,
                             int64_t q_begin, int64_t kv_begin, uint64_t seed)
    : shape(s), q_rows(queries), kv_rows(keys), q_position(q_begin), kv_position(kv_begin) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  const auto fill = [&](std::vector<float>* tensor, int64_t size) {
    tensor->resize(static_cast<size_t>(size));
    for (float& x : *tensor) x = normal(random);
  };
  const int64_t q_size = q_rows * shape.heads * shape.head_dim;
  const int64_t kv_size = kv_rows * shape.kv_heads * shape.head_dim;
  for (auto* tensor : {&q, &d_out, &out, &d_q}) fill(tensor, q_size);
  for (auto* tensor : {&k, &v, &d_k, &d_v}) fill(tensor, kv_size);
  for (auto* tensor : {&lse, &delta}) fill(tensor, q_rows * shape.heads);
  RoundInputs();
  Cut({0, q_rows}, {0, kv_rows});
}

void AttentionCase::Cut(std::vector<int64_t> q_cuts, std::vector<int64_t> kv_cuts) {
  q_cuts_ = std::move(q_cuts);
  kv_cuts_ = std::move(kv_cuts);
  const size_t parts = kv_cuts_.size() - 1;
  out_parts_.assign(parts, std::vector<float>(q.size(), 77.0f));
  d_q_parts_ = out_parts_;
  lse_parts_.assign(parts, std::vector<float>(lse.size(), 77.0f));
}

void AttentionCase::RoundInputs() {
  if (shape.element == AttentionElement::kFloat32) return;
  for (auto* tensor : {&q, &k, &v, &d_out}) {
    for (float& x : *tensor) x = FromBfloat16(ToBfloat16(x));
  }
}

const void* AttentionCase::Elements(const std::vector<float>& tensor, int64_t at,
                                    std::vector<uint16_t>* copy) {
  if (shape.element == AttentionElement::kFloat32) return tensor.data() + at;
  copy->resize(tensor.size());
  std::transform(tensor.begin(), tensor.end(), copy->begin(), ToBfloat16);
  return copy->data() + at;
}

VarlenTask AttentionCase::Whole() {
  VarlenTask task = WholeOfFloats();
  task.q = Elements(q, 0, &q_copy_);
  task.k = Elements(k, 0, &k_copy_);
  task.v = Elements(v, 0, &v_copy_);
  task.d_out = Elements(d_out, 0, &d_out_copy_);
  return task;
}

VarlenTask AttentionCase::WholeOfFloats() {
  return {.q_rows = q_rows,
          .kv_rows = kv_rows,
          .q_position = q_position,
          .kv_position = kv_position,
          .q = q.data(),
          .k = k.data(),
          .v = v.data(),
          .out = out.data(),
          .lse = lse.data(),
          .d_out = d_out.data(),
          .delta = delta.data(),
          .d_q = d_q.data(),
          .d_k = d_k.data(),
          .d_v = d_v.data()};
}

std::vector<VarlenTask> AttentionCase::Tasks() {
  std::vector<VarlenTask> tasks;
  for (size_t part = 0; part + 1 < kv_cuts_.size(); ++part) {
    for (size_t slice = 0; slice + 1 < q_cuts_.size(); ++slice) {
      const int64_t row = q_cuts_[slice];
      const int64_t key = kv_cuts_[part];
      const int64_t q_at = row * shape.heads * shape.head_dim;
      const int64_t kv_at = key * shape.kv_heads * shape.head_dim;
      tasks.push_back({.q_rows = q_cuts_[slice + 1] - row,
                       .kv_rows = kv_cuts_[part + 1] - key,
                       .q_position = q_position + row,
                       .kv_position = kv_position + key,
                       .q = Elements(q, q_at, &q_copy_),
                       .k = Elements(k, kv_at, &k_copy_),
                       .v = Elements(v, kv_at, &v_copy_),
                       .out = out_parts_[part].data() + q_at,
                       .lse = lse_parts_[part].data() + row * shape.heads,
                       .d_out = Elements(d_out, q_at, &d_out_copy_),
                       .delta = delta.data() + row * shape.heads,
                       .d_q = d_q_parts_[part].data() + q_at,
                       .d_k = d_k.data() + kv_at,
                       .d_v = d_v.data() + kv_at});
    }
  }
  return tasks;
}

std::vector<VarlenTask> AttentionCase::ForwardTasks() { return Tasks(); }

std::vector<VarlenTask> AttentionCase::BackwardTasks() {
  std::fill(d_k.begin(), d_k.end(), 0.0f);
  std::fill(d_v.begin(), d_v.end(), 0.0f);
  std::vector<VarlenTask> tasks = Tasks();
  for (VarlenTask& task : tasks) task.lse = lse.data() + (task.delta - delta.data());
  return tasks;
}

void AttentionCase::MergeParts() {
  for (size_t row = 0; row < lse.size(); ++row) {
    double max = -std::numeric_limits<double>::infinity();
    for (const auto& part : lse_parts_) max = std::max<double>(max, part[row]);
    double sum = 0.0;
    for (const auto& part : lse_parts_) {
      if (part[row] > -std::numeric_limits<float>::infinity()) sum += std::exp(part[row] - max);
    }
    lse[row] = static_cast<float>(max + std::log(sum));
    for (int64_t d = 0; d < shape.head_dim; ++d) {
      const size_t at = row * static_cast<size_t>(shape.head_dim) + static_cast<size_t>(d);
      double merged = 0.0;
      for (size_t part = 0; part < out_parts_.size(); ++part) {
        if (lse_parts_[part][row] == -std::numeric_limits<float>::infinity()) continue;
        merged += std::exp(lse_parts_[part][row] - max) / sum * out_parts_[part][at];
      }
      out[at] = static_cast<float>(merged);
    }
  }
}

void AttentionCase::SetRowStatistics(const ReferenceOutput& output) {
  for (size_t row = 0; row < lse.size(); ++row) {
    lse[row] = static_cast<float>(output.lse.value[row]);
    double sum = 0.0;
    for (int64_t d = 0; d < shape.head_dim; ++d) {
      const size_t at = row * static_cast<size_t>(shape.head_dim) + static_cast<size_t>(d);
      sum += output.out.value[at] * d_out[at];
    }
    delta[row] = static_cast<float>(sum);
  }
}

void AttentionCase::SumQueryGradients() {
  for (size_t i = 0; i < d_q.size(); ++i) {
    double sum = 0.0;
    for (const auto& part : d_q_parts_) sum += part[i];
    d_q[i] = static_cast<float>(sum);
  }
}

std::string AttentionCase::Describe() const {
  const bool bfloat16 = shape.element == AttentionElement::kBfloat16;
  return absl::StrCat(bfloat16 ? "bfloat16 " : "float32 ", "heads ", shape.heads, "/",
                      shape.kv_heads, " head_dim ", shape.head_dim, " window ", shape.mask.window,
                      " scale ", shape.scale, " rows ", q_rows, "@", q_position, " keys ", kv_rows,
                      "@", kv_position, " cut at ", absl::StrJoin(q_cuts_, ","), " and ",
                      absl::StrJoin(kv_cuts_, ","));
}

AttentionCase RandomAttentionCase(uint64_t seed, AttentionElement element) {
  std::mt19937_64 random(seed * 2 + 1);
  const auto upto = [&](int64_t n) { return static_cast<int64_t>(random() % (n + 1)); };
  // Mostly short, sometimes over several blocks.
  const auto rows = [&] { return 1 + upto(upto(3) == 0 ? 220 : 40); };
  constexpr int32_t kHeadDims[] = {32, 64, 96, 128, 192, 256};
  AttentionShape shape;
  shape.element = element;
  shape.head_dim = kHeadDims[upto(5)];
  shape.kv_heads = static_cast<int32_t>(1 + upto(1));
  shape.heads = shape.kv_heads * static_cast<int32_t>(upto(7) == 0 ? 5 : 1 + upto(2));
  shape.mask.window = upto(2) == 0 ? 1 + upto(120) : 0;
  shape.scale = upto(3) == 0 ? 0.3f : 0.0f;
  const int64_t q_rows = rows();
  const int64_t kv_rows = upto(40) == 0 ? 0 : rows();
  // From no common position at all to all keys before all queries.
  const int64_t kv_position = upto(2) == 0 ? 0 : upto(300);
  const int64_t q_position =
      upto(2) == 0 ? kv_position : std::max<int64_t>(0, kv_position + upto(400) - 100);
  AttentionCase one(shape, q_rows, kv_rows, q_position, kv_position, seed);
  const auto cuts = [&](int64_t n) {
    std::vector<int64_t> at = {0, n};
    for (int64_t i = upto(5) - 2; i > 0; --i) at.push_back(upto(n));
    std::sort(at.begin(), at.end());
    return at;
  };
  std::vector<int64_t> q_cuts = cuts(q_rows);
  one.Cut(std::move(q_cuts), cuts(kv_rows));
  return one;
}

}  // namespace rally
