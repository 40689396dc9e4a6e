// LibtorchLoop: the training loop one would write with LibTorch alone, to compare Rally's with.
//
// The same Llama model and the same documents: LibTorch's linear, norm, softmax and cross entropy
// operators, autograd, clip_grad_norm_ and AdamW, in float32. Attention is bmm, softmax, bmm of
// each document by itself. LibTorch stays behind this header. Threads: one caller at a time.
#ifndef RALLY_TESTS_BENCH_LIBTORCH_LOOP_H_
#define RALLY_TESTS_BENCH_LIBTORCH_LOOP_H_

#include <cstdint>
#include <memory>
#include <vector>

#include <absl/status/statusor.h>

#include "scheduler/job_spec.h"

namespace rally::bench {

class LibtorchLoop {
 public:
  virtual ~LibtorchLoop() = default;

  struct Step {
    double loss = 0.0;
    double seconds = 0.0;
    double attention_seconds = 0.0;  // Forward; what the backward of it takes is not seen apart.
  };

  // One step over documents of these token ids. Errors are LibTorch's, Internal.
  virtual absl::StatusOr<Step> Run(const std::vector<std::vector<int32_t>>& documents) = 0;
};

// Of the spec's model, with the weights a job begins with, and its optimizer; the learning rate
// stays at the optimizer's peak. threads >= 1.
absl::StatusOr<std::unique_ptr<LibtorchLoop>> MakeLibtorchLoop(const JobSpec& spec, int threads);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_LIBTORCH_LOOP_H_
