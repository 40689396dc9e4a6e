// ParallelFor: loops over LibTorch's threads, for code that does not include LibTorch.
//
// at::parallel_for is a template of OpenMP: it has threads only in a source that is compiled for
// OpenMP, and runs on one in silence elsewhere. Here that source is parallel_for.cc, and nothing
// else in the project asks for threads of this kind. As many threads compute as
// at::set_num_threads has given the calling one.
#ifndef RALLY_WORKERS_MODEL_PARALLEL_FOR_H_
#define RALLY_WORKERS_MODEL_PARALLEL_FOR_H_

#include <cstdint>

#include <absl/functional/function_ref.h>

namespace rally {

// Numbers whose conversion, copy or sum is worth a thread of its own.
inline constexpr int64_t kThreadGrain = 1 << 15;

// Calls `run(begin, end)` for disjoint ranges that make up [0, count), of at least `grain` but for
// the last, at the same time; returns when all have returned. How they are cut depends on the
// number of threads, so each index's work must not. `run` must not throw.
void ParallelFor(int64_t count, int64_t grain,
                 absl::FunctionRef<void(int64_t begin, int64_t end)> run);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_PARALLEL_FOR_H_
