#include "tests/attention/reference_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace rally {
namespace {

constexpr double kUnit = 1.0 / (1 << 24);
// What rounds to zero near the end of float32's range is not an error.
constexpr double kTiny = 1e-30;

// A sum of products and of their magnitudes.
struct Dot {
  double value = 0.0;
  double magnitude = 0.0;
};

Dot Multiply(const float* a, const float* b, int64_t n) {
  Dot dot;
  for (int64_t i = 0; i < n; ++i) {
    const double product = static_cast<double>(a[i]) * b[i];
    dot.value += product;
    dot.magnitude += std::abs(product);
  }
  return dot;
}

// Where rows of a task and a head begin.
class Rows {
 public:
  const float* const q;
  const float* const k;
  const float* const v;
  const float* const d_out;
  const double scale;

  Rows(const AttentionShape& shape, const VarlenTask& task)
      : q(static_cast<const float*>(task.q)),
        k(static_cast<const float*>(task.k)),
        v(static_cast<const float*>(task.v)),
        d_out(static_cast<const float*>(task.d_out)),
        scale(shape.scale != 0.0f ? shape.scale : 1.0 / std::sqrt(double{1.0} * shape.head_dim)),
        shape_(shape),
        task_(task) {}

  int64_t Query(int64_t row, int64_t head) const {
    return (row * shape_.heads + head) * shape_.head_dim;
  }
  int64_t Key(int64_t row, int64_t head) const {
    const int64_t kv_head = head / (shape_.heads / shape_.kv_heads);
    return (row * shape_.kv_heads + kv_head) * shape_.head_dim;
  }
  bool Allowed(int64_t q_row, int64_t kv_row) const {
    return ReferenceAllowed(shape_.mask, task_.q_position + q_row, task_.kv_position + kv_row);
  }
  // The score, and its error as `magnitude`.
  Dot Score(int64_t q_row, int64_t kv_row, int64_t head) const {
    Dot dot = Multiply(q + Query(q_row, head), k + Key(kv_row, head), shape_.head_dim);
    return {dot.value * scale, (shape_.head_dim + 8) * kUnit * dot.magnitude * scale};
  }

 private:
  const AttentionShape& shape_;
  const VarlenTask& task_;
};

void ForwardRow(const AttentionShape& shape, const VarlenTask& task, const Rows& rows, int64_t row,
                int64_t head, double rounding, ReferenceOutput* result) {
  const double lowest = -std::numeric_limits<double>::infinity();
  std::vector<Dot> scores(task.kv_rows, Dot{lowest, 0.0});
  double max = lowest;
  double score_error = 0.0;
  for (int64_t j = 0; j < task.kv_rows; ++j) {
    if (!rows.Allowed(row, j)) continue;
    scores[j] = rows.Score(row, j, head);
    // NaN stays.
    max = std::isnan(max) || scores[j].value <= max ? max : scores[j].value;
    score_error = std::max(score_error, scores[j].magnitude);
  }
  double& lse = result->lse.value[row * shape.heads + head];
  lse = lowest;
  if (max == lowest) return;
  double sum = 0.0;
  for (const Dot& score : scores) sum += std::exp(score.value - max);
  lse = max + std::log(sum);
  // A term's exponent errs by its own score's error and by the maximum's.
  const double term = std::expm1(2.0 * score_error) + 8.0 * kUnit;
  const double count = static_cast<double>(task.kv_rows) + 16.0;
  result->lse.bound[row * shape.heads + head] =
      term + count * kUnit + 4.0 * kUnit * (std::abs(max) + std::abs(lse));
  for (int64_t d = 0; d < shape.head_dim; ++d) {
    double out = 0.0;
    double magnitude = 0.0;
    for (int64_t j = 0; j < task.kv_rows; ++j) {
      const double p = std::exp(scores[j].value - lse);
      if (p == 0.0) continue;
      const double v = rows.v[rows.Key(j, head) + d];
      out += p * v;
      magnitude += p * std::abs(v);
    }
    // Both the sum of terms and the sum they are divided by are off; the latter is not rounded.
    const double error = 2.0 * (term + count * kUnit);
    result->out.value[rows.Query(row, head) + d] = out;
    result->out.bound[rows.Query(row, head) + d] =
        (error + rounding * (1.0 + error)) * magnitude + kTiny;
  }
}

// One allowed pair of the backward.
void BackwardPair(const AttentionShape& shape, const VarlenTask& task, const Rows& rows,
                  int64_t row, int64_t key, int64_t head, double rounding,
                  ReferenceGradient* result) {
  const double lse = task.lse[row * shape.heads + head];
  const double delta = task.delta[row * shape.heads + head];
  const Dot score = rows.Score(row, key, head);
  const int64_t q = rows.Query(row, head);
  const int64_t k = rows.Key(key, head);
  const double p = std::exp(score.value - lse);
  const double p_error =
      p * (std::expm1(score.magnitude + 4.0 * kUnit * (std::abs(lse) + std::abs(score.value))) +
           8.0 * kUnit);
  const Dot dp = Multiply(rows.d_out + q, rows.v + k, shape.head_dim);
  const double dp_error =
      (shape.head_dim + 8) * kUnit * dp.magnitude + 4.0 * kUnit * std::abs(delta);
  const double ds = p * (dp.value - delta);
  const double ds_error = p_error * std::abs(dp.value - delta) + (p + p_error) * dp_error;
  // ds comes of p as it was before it was rounded.
  const double p_term = p_error + rounding * (p + p_error);
  const double ds_term = ds_error + rounding * (std::abs(ds) + ds_error);
  const int64_t group = shape.heads / shape.kv_heads;
  const double over_keys = (static_cast<double>(task.kv_rows) + 16.0) * kUnit;
  const double over_queries = (static_cast<double>(task.q_rows * group) + 16.0) * kUnit;
  for (int64_t d = 0; d < shape.head_dim; ++d) {
    const double scaled_q = rows.scale * rows.q[q + d];
    const double scaled_k = rows.scale * rows.k[k + d];
    const double d_out = rows.d_out[q + d];
    result->d_q.value[q + d] += ds * scaled_k;
    result->d_q.bound[q + d] += (ds_term + over_keys * std::abs(ds)) * std::abs(scaled_k) + kTiny;
    result->d_k.value[k + d] += ds * scaled_q;
    result->d_k.bound[k + d] +=
        (ds_term + over_queries * std::abs(ds)) * std::abs(scaled_q) + kTiny;
    result->d_v.value[k + d] += p * d_out;
    result->d_v.bound[k + d] += (p_term + over_queries * p) * std::abs(d_out) + kTiny;
  }
}

}  // namespace

bool ReferenceAllowed(AttentionMask mask, int64_t q, int64_t k) {
  return k <= q && (mask.window == 0 || k > q - mask.window);
}

ReferenceOutput ReferenceForward(const AttentionShape& shape, const VarlenTask& task,
                                 double rounding) {
  const Rows rows(shape, task);
  const size_t queries = static_cast<size_t>(task.q_rows * shape.heads);
  ReferenceOutput result{ReferenceTensor(queries * shape.head_dim), ReferenceTensor(queries)};
  for (int64_t row = 0; row < task.q_rows; ++row) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      ForwardRow(shape, task, rows, row, head, rounding, &result);
    }
  }
  return result;
}

ReferenceGradient ReferenceBackward(const AttentionShape& shape, const VarlenTask& task,
                                    double rounding) {
  const Rows rows(shape, task);
  const size_t q_size = static_cast<size_t>(task.q_rows * shape.heads * shape.head_dim);
  const size_t kv_size = static_cast<size_t>(task.kv_rows * shape.kv_heads * shape.head_dim);
  ReferenceGradient result{ReferenceTensor(q_size), ReferenceTensor(kv_size),
                           ReferenceTensor(kv_size)};
  for (int64_t row = 0; row < task.q_rows; ++row) {
    for (int64_t head = 0; head < shape.heads; ++head) {
      if (task.lse[row * shape.heads + head] == -std::numeric_limits<float>::infinity()) continue;
      for (int64_t key = 0; key < task.kv_rows; ++key) {
        if (!rows.Allowed(row, key)) continue;
        BackwardPair(shape, task, rows, row, key, head, rounding, &result);
      }
    }
  }
  return result;
}

}  // namespace rally
