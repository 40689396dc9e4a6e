// In place of common/cpu_features.cc: a CPU whose AVX-512 is emulated (emulated_avx512.h), where
// there is the AVX2 to do so.
#include "common/cpu_features.h"

namespace rally {

CpuFeatures GetCpuFeatures() {
  __builtin_cpu_init();
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return {.sse42 = avx2, .avx2 = avx2, .avx512 = avx2, .avx512_bf16 = avx2};
}

}  // namespace rally
