#include "tests/bench/libtorch_threads.h"

#include <dlfcn.h>

#include <chrono>
#include <ctime>
#include <thread>

#include <ATen/Parallel.h>

namespace rally::bench {

void SetLibtorchThreads(int threads) {
  at::set_num_threads(threads);
  // Not there when LibTorch was built with another BLAS.
  using Setter = void (*)(int);
  const auto set = reinterpret_cast<Setter>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (set != nullptr) set(threads);
}

void AwaitIdleThreads() {
  constexpr auto kLook = std::chrono::milliseconds(10);
  for (int looks = 0; looks < 100; ++looks) {
    const std::clock_t before = std::clock();  // Of all threads.
    std::this_thread::sleep_for(kLook);
    const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    if (seconds < 0.05 * std::chrono::duration<double>(kLook).count()) return;
  }
}

}  // namespace rally::bench
