#include "tests/bench/peak_flops.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace rally::bench {
namespace {

// Each loop makes `rounds` rounds of independent multiply-adds on whole registers, enough of them
// to hide the latency of each, and returns something that depends on all. The sums differ, or the
// compiler would make one of them.
constexpr double kFlopsPerLane = 2.0;

struct PeakLoop {
  float (*run)(int64_t rounds, float factor);
  double flops_per_round;
};

typedef float Vector4 __attribute__((vector_size(16)));

float PortableLoop(int64_t rounds, float factor) {
  Vector4 sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = Vector4{} + static_cast<float>(i);
  const Vector4 f = {factor, factor, factor, factor};
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (Vector4& sum : sums) sum = sum * f + f;
  }
  Vector4 all = {};
  for (const Vector4& sum : sums) all += sum;
  return all[0] + all[1] + all[2] + all[3];
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) float Avx2Loop(int64_t rounds, float factor) {
  __m256 sums[12];
  for (int i = 0; i < 12; ++i) sums[i] = _mm256_set1_ps(static_cast<float>(i));
  const __m256 f = _mm256_set1_ps(factor);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (__m256& sum : sums) sum = _mm256_fmadd_ps(sum, f, f);
  }
  float lanes[8];
  for (int i = 1; i < 12; ++i) sums[0] = _mm256_add_ps(sums[0], sums[i]);
  _mm256_storeu_ps(lanes, sums[0]);
  return lanes[0];
}

__attribute__((target("avx512f"))) float Avx512Loop(int64_t rounds, float factor) {
  __m512 sums[24];
  for (int i = 0; i < 24; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  const __m512 f = _mm512_set1_ps(factor);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (__m512& sum : sums) sum = _mm512_fmadd_ps(sum, f, f);
  }
  float lanes[16];
  for (int i = 1; i < 24; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  _mm512_storeu_ps(lanes, sums[0]);
  return lanes[0];
}

__attribute__((target("avx512f,avx512bf16"))) float Avx512Bf16Loop(int64_t rounds, float factor) {
  __m512 sums[24];
  for (int i = 0; i < 24; ++i) sums[i] = _mm512_set1_ps(static_cast<float>(i));
  // Pairs of the factor and 0.
  const __m512bh f = (__m512bh)_mm512_set1_ps(factor);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 24
    for (__m512& sum : sums) sum = _mm512_dpbf16_ps(sum, f, f);
  }
  float lanes[16];
  for (int i = 1; i < 24; ++i) sums[0] = _mm512_add_ps(sums[0], sums[i]);
  _mm512_storeu_ps(lanes, sums[0]);
  return lanes[0];
}
#endif

PeakLoop LoopFor(CpuInstructionSet instruction_set, AttentionElement element) {
#if defined(__x86_64__)
  using Set = CpuInstructionSet;
  if (instruction_set == Set::kBest) instruction_set = BestCpuInstructionSet();
  if (instruction_set == Set::kAvx512Bf16) {
    if (element == AttentionElement::kBfloat16) return {Avx512Bf16Loop, 24 * 32 * kFlopsPerLane};
    instruction_set = Set::kAvx512;
  }
  if (instruction_set == Set::kAvx512) return {Avx512Loop, 24 * 16 * kFlopsPerLane};
  if (instruction_set == Set::kAvx2) return {Avx2Loop, 12 * 8 * kFlopsPerLane};
#endif
  return {PortableLoop, 12 * 4 * kFlopsPerLane};
}

}  // namespace

double MeasurePeakGflops(int threads, CpuInstructionSet instruction_set, AttentionElement element) {
  using Clock = std::chrono::steady_clock;
  constexpr auto kSpan = std::chrono::milliseconds(20);
  constexpr int64_t kRounds = 20000;
  const PeakLoop loop = LoopFor(instruction_set, element);
  std::atomic<int> ready{0};
  std::atomic<int64_t> batches{0};
  std::atomic<float> sink{0.0f};
  Clock::time_point start;
  const auto work = [&] {
    // The last to arrive starts the clock.
    if (ready.fetch_add(1) + 1 == threads) {
      start = Clock::now();
      ready.fetch_add(1);
    }
    while (ready.load() <= threads) std::this_thread::yield();
    do {
      sink.store(loop.run(kRounds, 0.5f), std::memory_order_relaxed);
      batches.fetch_add(1, std::memory_order_relaxed);
    } while (Clock::now() - start < kSpan);
  };
  std::vector<std::thread> others;
  for (int i = 1; i < threads; ++i) others.emplace_back(work);
  work();
  for (std::thread& other : others) other.join();
  const std::chrono::duration<double> took = Clock::now() - start;
  const double flops = static_cast<double>(batches.load()) * kRounds * loop.flops_per_round;
  return flops / took.count() * 1e-9;
}

}  // namespace rally::bench
