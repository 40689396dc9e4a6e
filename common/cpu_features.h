// CpuFeatures: which vector instructions this CPU has and its operating system lets run.
//
// Code that is compiled for more than the least processor asks here before it runs. Any thread.
#ifndef RALLY_COMMON_CPU_FEATURES_H_
#define RALLY_COMMON_CPU_FEATURES_H_

namespace rally {

// Each has those before it too. All false on processors other than x86-64.
struct CpuFeatures {
  bool sse42 = false;        // SSE 4.2: CRC32C.
  bool avx2 = false;         // AVX2 and FMA.
  bool avx512 = false;       // AVX-512 F, DQ, BW and VL.
  bool avx512_bf16 = false;  // AVX-512 BF16.
};

CpuFeatures GetCpuFeatures();

}  // namespace rally

#endif  // RALLY_COMMON_CPU_FEATURES_H_
