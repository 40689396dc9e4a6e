#include <malloc.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>

#include "workers/model/trainer.h"

namespace rally {
namespace {

// Where the heap will grow, marked for huge pages: one fault then brings 2 MiB instead of 4 KiB.
// Reserves addresses only, and no more than the machine could ever fill.
void MarkHeapForHugePages() {
  constexpr size_t kPage = size_t{2} << 20;
  size_t bytes = static_cast<size_t>(sysconf(_SC_PHYS_PAGES)) * sysconf(_SC_PAGESIZE) / 2;
  void* block = nullptr;
  while (bytes >= 64 * kPage && (block = std::malloc(bytes)) == nullptr) bytes /= 2;
  if (block == nullptr) return;
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(block) + kPage - 1) / kPage * kPage;
  const uintptr_t end = (reinterpret_cast<uintptr_t>(block) + bytes) / kPage * kPage;
  if (begin < end) madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
  std::free(block);
}

}  // namespace

// Touching fresh pages costs many times the arithmetic on them, and glibc by default gives every
// large block back to the system when it is freed and maps a fresh one next time. So: one heap for
// all threads, no block mapped by itself, nothing given back; steps reuse each other's memory.
void PrepareProcessForTraining() {
  mallopt(M_MMAP_MAX, 0);
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_TOP_PAD, 64 << 20);
  mallopt(M_ARENA_MAX, 1);
  MarkHeapForHugePages();
  // A file that may not grow (ulimit -f) is then an error of write, as a full disk is.
  signal(SIGXFSZ, SIG_IGN);
}

}  // namespace rally
