// The attention bench: the kernel's rate over a small grid, as a share of the multiply-add peak,
// and beside it what LibTorch's own operators make of the same work.
//
// Every sample of the kernel stands between two of the peak loop of the same instruction set and
// element on as many threads; rates are medians, `share` is the median of each sample's own share.
// A sample is a call; of a batch of many tasks it is a call with a slice of them that takes about a
// second, each slice once, in no order of length. LibTorch runs three times in turn with the
// kernel, after one run that warms up. Counted FLOP: 4 * N * H per allowed pair forward, 10 * N * H
// backward, nothing for the softmax. Rows lie in pooled buffers, as an attention server's do.
#ifndef RALLY_TESTS_BENCH_ATTENTION_BENCH_H_
#define RALLY_TESTS_BENCH_ATTENTION_BENCH_H_

#include <cstdint>
#include <ostream>
#include <vector>

#include <absl/status/status.h>

#include "workers/attention/attention_kernel.h"

namespace rally::bench {

struct AttentionBenchOptions {
  bool json = false;
  CpuInstructionSet instruction_set = CpuInstructionSet::kBest;
  std::vector<int32_t> threads = {1, 0};  // 0: one per available core.
  std::vector<int32_t> head_dims = {64, 128};
  std::vector<AttentionElement> elements = {AttentionElement::kFloat32,
                                            AttentionElement::kBfloat16};
  bool libtorch = true;  // For the single tasks of float32.
  int repeats = 5;
};

// Writes a table, or with `json` an array of {"direction", "tasks", "q_rows", "kv_rows" (of all
// tasks), "heads", "kv_heads", "head_dim", "dtype", "threads", "mask", "instruction_set",
// "samples", "gflops", "peak_gflops", "share", "peak_bytes" (what a call takes beside its rows),
// "libtorch_gflops", "libtorch_ratio" (of the kernel's rate to LibTorch's, the median of pairs),
// "libtorch_peak_bytes"}, to `out`. LibTorch's are null where it is not run: for bfloat16, for the
// batch of many tasks, and without `libtorch`. FailedPrecondition when this CPU lacks the
// instruction set.
absl::Status RunAttentionBench(const AttentionBenchOptions& options, std::ostream& out);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_ATTENTION_BENCH_H_
