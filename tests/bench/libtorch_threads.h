// The threads that LibTorch computes on, its BLAS among them.
#ifndef RALLY_TESTS_BENCH_LIBTORCH_THREADS_H_
#define RALLY_TESTS_BENCH_LIBTORCH_THREADS_H_

namespace rally::bench {

// at::set_num_threads does not reach a BLAS that has threads of its own, as OpenBLAS has. Call from
// the thread that will compute.
void SetLibtorchThreads(int threads);

// Waits, a second at most, until no thread of this process computes: LibTorch's look for more work
// for a while after a call, on cores that the next measurement needs.
void AwaitIdleThreads();

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_LIBTORCH_THREADS_H_
