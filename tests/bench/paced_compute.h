// Paced compute: stand-ins for the kernel and the layers that take a modelled time.
//
// They let more ranks than cores show what a plan and ping-pong are worth: transport, processes and
// control flow are real, only the arithmetic is replaced by sleeping until the modelled time is
// over. Outputs are zeros. Threads as the decorated seams ask.
#ifndef RALLY_TESTS_BENCH_PACED_COMPUTE_H_
#define RALLY_TESTS_BENCH_PACED_COMPUTE_H_

#include <memory>

#include "workers/attention/attention_kernel.h"
#include "workers/model/trainer.h"

namespace rally::bench {

// Rates of a modelled device.
struct PacedCompute {
  double attention_flops_per_second = 0.0;  // Of core attention.
  double linear_seconds_per_token = 0.0;    // Of one layer, forward; backward takes twice that.
};

// A kernel that takes the model's time for its batch: 4 * H FLOP per allowed pair and query head
// forward, 2.5 times that backward.
std::unique_ptr<AttentionKernel> MakePacedKernel(const PacedCompute& pace);

// Makes every layer take the model's time per row: once before a phase is dispatched, and twice
// that in the backward.
DecorateCoreAttention PaceLayers(const PacedCompute& pace);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_PACED_COMPUTE_H_
