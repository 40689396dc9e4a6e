// The step bench: a job of one process against a plain LibTorch training loop, document by length.
//
// The same model, weights, optimizer and tokens, in float32 on one core each, in turn: the job's
// worker, with its kernel and transport, is a process as in a cluster; the loop is LibTorch's own
// operators (libtorch_loop.h). Their first losses must agree. The loop is given what a
// worker has: an allocator that keeps its memory, and a BLAS that OPENBLAS_CORETYPE does not hold
// to an older processor (rally-bench takes it out of its environment).
#ifndef RALLY_TESTS_BENCH_STEP_BENCH_H_
#define RALLY_TESTS_BENCH_STEP_BENCH_H_

#include <cstdint>
#include <ostream>
#include <vector>

#include <absl/status/status.h>

namespace rally::bench {

struct StepBenchOptions {
  bool json = false;
  std::vector<int32_t> document_tokens = {256, 1024, 4096};  // Each must divide 4096.
  int repeats = 3;
};

// Writes a table, or with `json` an array of {"document_tokens", "rally_tokens_per_second",
// "libtorch_tokens_per_second", "ratio", "rally_attention_share", "rally_waiting_share",
// "libtorch_attention_forward_share"}, to `out`. Medians; `ratio` is the median of each pair's.
// Internal when the losses differ.
absl::Status RunStepBench(const StepBenchOptions& options, std::ostream& out);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_STEP_BENCH_H_
