// The multiply-add peak: what this machine gives right now to a loop that touches no memory.
//
// The yardstick of every arithmetic bench. Machines are shared and clocks move, so measure it in
// turn with what is compared against it.
#ifndef RALLY_TESTS_BENCH_PEAK_FLOPS_H_
#define RALLY_TESTS_BENCH_PEAK_FLOPS_H_

#include "workers/attention/attention_kernel.h"

namespace rally::bench {

// GFLOP/s of `threads` threads together (a multiply-add counts 2), over some 20 ms. Starts
// threads - 1 threads and ends them. The instruction set must be one this CPU has. Of bfloat16 when
// `element` is and the instruction set multiplies it, else of float32.
double MeasurePeakGflops(int threads, CpuInstructionSet instruction_set = CpuInstructionSet::kBest,
                         AttentionElement element = AttentionElement::kFloat32);

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_PEAK_FLOPS_H_
