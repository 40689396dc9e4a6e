// VectorAvx512Bf16: sixteen lanes of AVX-512 whose products are of pairs of bfloat16, two
// multiply-adds a lane in one instruction. See vector_portable.h for what a vector type is, and
// units.h for pairs.
//
// Products of bfloat16 are exact in float32 and sums are float32, but subnormal operands and
// results count as zero, whatever the thread's rounding mode says.
#ifndef RALLY_WORKERS_ATTENTION_VECTOR_AVX512_BF16_H_
#define RALLY_WORKERS_ATTENTION_VECTOR_AVX512_BF16_H_

#include <immintrin.h>

#include "workers/attention/vector_avx512.h"

namespace rally {

struct VectorAvx512Bf16 : Avx512Lanes<VectorAvx512Bf16> {
  static constexpr int kPack = 2;

  // acc + a.low * b.low + a.high * b.high
  static Reg Dot(Reg a, Reg b, Reg acc) { return _mm512_dpbf16_ps(acc, (__m512bh)a, (__m512bh)b); }

  // Rounded to nearest even; NaN stays NaN.
  static Reg Pack(Reg low, Reg high) {
    // The conversion puts one vector after the other; pairs want them interleaved.
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(high, low);
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_castsi512_ps(_mm512_permutexvar_epi16(order, halves));
  }
  static Reg UnpackLow(Reg pairs) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(pairs), 16));
  }
  static Reg UnpackHigh(Reg pairs) {
    return _mm512_castsi512_ps(
        _mm512_and_si512(_mm512_castps_si512(pairs), _mm512_set1_epi32(-65536)));
  }

  // Elements [column, column + 16) of two rows; a null row is zeros.
  static Reg LoadPacked(const float* low, const float* high, int column) {
    const __m512i packed = LoadWide(low, column);
    if (high == nullptr) return _mm512_castsi512_ps(packed);
    return _mm512_castsi512_ps(
        _mm512_or_si512(packed, _mm512_slli_epi32(LoadWide(high, column), 16)));
  }

  // Stores the lanes as sixteen bfloat16 from element `column` of a row on.
  static void StoreRounded(float* row, int64_t column, Reg x) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(reinterpret_cast<char*>(row) + 2 * column),
                        (__m256i)_mm512_cvtneps_pbh(x));
  }

 private:
  // Each element in the lower half of a lane.
  static __m512i LoadWide(const float* row, int column) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(
        reinterpret_cast<const __m256i*>(reinterpret_cast<const char*>(row) + 2 * column)));
  }
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_VECTOR_AVX512_BF16_H_
