#include "workers/model/parallel_for.h"

#include <algorithm>

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace rally {

void ParallelFor(int64_t count, int64_t grain,
                 absl::FunctionRef<void(int64_t begin, int64_t end)> run) {
  if (count <= 0) return;
#if defined(_OPENMP)
  const int64_t most = count / grain;
  if (most > 1 && omp_get_max_threads() > 1 && !omp_in_parallel()) {
    // Every thread takes part, though some may have nothing to do: OpenMP's own are made anew
    // whenever their number changes.
#pragma omp parallel
    {
      const int64_t parts = std::min<int64_t>(omp_get_num_threads(), most);
      const int64_t size = (count + parts - 1) / parts;
      const int64_t begin = omp_get_thread_num() * size;
      if (begin < count) run(begin, std::min(count, begin + size));
    }
    return;
  }
#endif
  run(0, count);
}

}  // namespace rally
