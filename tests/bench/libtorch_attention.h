// LibtorchAttention: core attention by LibTorch's own operators, to compare the kernel with.
//
// The usual way without a fused kernel: bmm, scale, mask, softmax, bmm; autograd makes the backward
// of the same. LibTorch stays behind this header. Threads: one caller at a time.
#ifndef RALLY_TESTS_BENCH_LIBTORCH_ATTENTION_H_
#define RALLY_TESTS_BENCH_LIBTORCH_ATTENTION_H_

#include <cstdint>
#include <memory>

#include <absl/status/statusor.h>

#include "workers/attention/attention_kernel.h"

namespace rally::bench {

class LibtorchAttention {
 public:
  virtual ~LibtorchAttention() = default;

  struct Result {
    double gflops = 0.0;     // Of allowed pairs alone, as the kernel's are counted.
    int64_t peak_bytes = 0;  // Beyond q, k, v and, backward, what the forward kept.
  };

  // One run, after which LibTorch's threads sleep; the first one warms up. Errors are LibTorch's,
  // Internal.
  virtual absl::StatusOr<Result> Run() = 0;
};

// Queries are the last `q_rows` of `kv_rows` positions. Scores of all heads may be too large for
// the machine, so as many heads are computed as keep them below 512 MB; what one head takes does
// not depend on the others. Errors are LibTorch's, Internal.
absl::StatusOr<std::unique_ptr<LibtorchAttention>> MakeLibtorchAttention(
    const AttentionShape& shape, int64_t q_rows, int64_t kv_rows, bool backward, int threads);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_LIBTORCH_ATTENTION_H_
