#include "tests/bench/libtorch_attention.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>

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

class LibtorchAttentionImpl final : public LibtorchAttention {
 public:
  LibtorchAttentionImpl(const AttentionShape& shape, int64_t q_rows, int64_t kv_rows, bool backward,
                        int threads)
      : backward_(backward), threads_(threads) {
    const int64_t score_bytes = q_rows * kv_rows * static_cast<int64_t>(sizeof(float));
    const int64_t heads = std::clamp<int64_t>(kMostScoreBytes / score_bytes, 1, shape.heads);
    const auto rows = [&](int64_t count) {
      return at::empty({heads, count, shape.head_dim})
          .uniform_(-0.5, 0.5)
          .set_requires_grad(backward);
    };
    q_ = rows(q_rows);
    k_ = rows(kv_rows);
    v_ = rows(kv_rows);
    forbidden_ = Forbidden(q_rows, kv_rows, shape.mask);
    const int64_t pairs = AllowedPairs(kv_rows - q_rows, kv_rows, 0, kv_rows, shape.mask);
    flops_ = (backward ? 10.0 : 4.0) * static_cast<double>(heads * shape.head_dim) *
             static_cast<double>(pairs);
  }

  absl::StatusOr<Result> Run() override {
    try {
      const Result result = RunOnce();
      AwaitIdleThreads();
      return result;
    } catch (const std::exception& error) {
      return absl::InternalError(error.what());
    }
  }

 private:
  using Clock = std::chrono::steady_clock;

  Result RunOnce() const {
    SetLibtorchThreads(threads_);
    const at::AutoGradMode grad_mode(backward_);
    Result result;
    const PeakMemory forward_peak;
    Clock::time_point start = Clock::now();
    const at::Tensor out = Attend(q_, k_, v_, forbidden_);
    if (backward_) {
      const at::Tensor d_out = at::rand_like(out);
      const PeakMemory backward_peak;
      start = Clock::now();
      torch::autograd::backward({out}, {d_out});
      result.peak_bytes = backward_peak.bytes();
    } else {
      result.peak_bytes = forward_peak.bytes();
    }
    const std::chrono::duration<double> took = Clock::now() - start;
    result.gflops = flops_ / took.count() * 1e-9;
    return result;
  }

  const bool backward_;
  const int threads_;
  at::Tensor q_, k_, v_;  // [heads, rows, H]
  at::Tensor forbidden_;  // [q_rows, kv_rows]
  double flops_ = 0.0;    // Of a run.
};

}  // namespace

absl::StatusOr<std::unique_ptr<LibtorchAttention>> MakeLibtorchAttention(
    const AttentionShape& shape, int64_t q_rows, int64_t kv_rows, bool backward, int threads) {
  try {
    return std::make_unique<LibtorchAttentionImpl>(shape, q_rows, kv_rows, backward, threads);
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

}  // namespace rally::bench
