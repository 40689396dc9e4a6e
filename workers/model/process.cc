#include <malloc.h>

#include "workers/model/trainer.h"

namespace rally {

// Touching fresh pages costs many times the arithmetic on them, and glibc by default returns every
// large block to the system when it is freed, a fresh mapping next time. So: no mappings for
// single blocks, no trimming, growth in large steps; freed memory is reused across steps.
void PrepareProcessForTraining() {
  constexpr int kLargestBlock = 1 << 30;
  mallopt(M_MMAP_THRESHOLD, kLargestBlock);
  mallopt(M_TRIM_THRESHOLD, 0x7fffffff);
  mallopt(M_TOP_PAD, 64 << 20);
  mallopt(M_ARENA_MAX, 1);
}

}  // namespace rally
