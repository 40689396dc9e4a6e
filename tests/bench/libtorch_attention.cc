#include "tests/bench/libtorch_attention.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "scheduler/ca_task.h"
#include "tests/bench/libtorch_threads.h"
#include "tests/bench/peak_memory.h"

namespace rally::bench {
namespace {

constexpr int64_t kMostScoreBytes = 512 << 20;

// [q_rows, kv_rows], true where a pair is not allowed.
at::Tensor Forbidden(int64_t q_rows, int64_t kv_rows, AttentionMask mask) {
  const at::Tensor q = at::arange(kv_rows - q_rows, kv_rows).unsqueeze(1);
  const at::Tensor distance = q - at::arange(kv_rows).unsqueeze(0);
  const at::Tensor future = distance < 0;
  return mask.window > 0 ? future.logical_or(distance >= mask.window) : future;
}

at::Tensor Attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const at::Tensor& forbidden) {
  const double scale = 1.0 / std::sqrt(static_cast<double>(q.size(2)));
  const at::Tensor scores = at::bmm(q, k.transpose(1, 2)).mul(scale);
  const at::Tensor allowed =
      scores.masked_fill(forbidden, -std::numeric_limits<double>::infinity());
  return at::bmm(at::softmax(allowed, -1), v);
}

LibtorchAttentionResult Measure(const AttentionShape& shape, int64_t q_rows, int64_t kv_rows,
                                bool backward, int threads) {
  SetLibtorchThreads(threads);
  const at::AutoGradMode grad_mode(backward);
  const int64_t score_bytes = q_rows * kv_rows * static_cast<int64_t>(sizeof(float));
  const int64_t heads = std::clamp<int64_t>(kMostScoreBytes / score_bytes, 1, shape.heads);
  const auto rows = [&](int64_t count) {
    return at::empty({heads, count, shape.head_dim})
        .uniform_(-0.5, 0.5)
        .set_requires_grad(backward);
  };
  const at::Tensor q = rows(q_rows);
  const at::Tensor k = rows(kv_rows);
  const at::Tensor v = rows(kv_rows);
  const at::Tensor forbidden = Forbidden(q_rows, kv_rows, shape.mask);
  const int64_t pairs = AllowedPairs(kv_rows - q_rows, kv_rows, 0, kv_rows, shape.mask);
  const double flops = (backward ? 10.0 : 4.0) * static_cast<double>(heads * shape.head_dim) *
                       static_cast<double>(pairs);
  LibtorchAttentionResult result;
  for (int run = 0; run < 2; ++run) {
    const PeakMemory forward_peak;
    auto start = std::chrono::steady_clock::now();
    const at::Tensor out = Attend(q, k, v, forbidden);
    if (backward) {
      const at::Tensor d_out = at::rand_like(out);
      const PeakMemory backward_peak;
      start = std::chrono::steady_clock::now();
      torch::autograd::backward({out}, {d_out});
      result.peak_bytes = backward_peak.bytes();
    } else {
      result.peak_bytes = forward_peak.bytes();
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    result.gflops = flops / took.count() * 1e-9;
  }
  return result;
}

}  // namespace

absl::StatusOr<LibtorchAttentionResult> MeasureLibtorchAttention(const AttentionShape& shape,
                                                                 int64_t q_rows, int64_t kv_rows,
                                                                 bool backward, int threads) {
  try {
    return Measure(shape, q_rows, kv_rows, backward, threads);
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

}  // namespace rally::bench
