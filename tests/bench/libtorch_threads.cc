#include "tests/bench/libtorch_threads.h"

#include <dlfcn.h>

#include <ATen/Parallel.h>

namespace rally::bench {

void SetLibtorchThreads(int threads) {
  at::set_num_threads(threads);
  // Not there when LibTorch was built with another BLAS.
  using Setter = void (*)(int);
  const auto set = reinterpret_cast<Setter>(dlsym(RTLD_DEFAULT, "openblas_set_num_threads"));
  if (set != nullptr) set(threads);
}

}  // namespace rally::bench
