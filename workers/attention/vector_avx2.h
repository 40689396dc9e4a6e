// VectorAvx2: eight float lanes with AVX2 and FMA. See vector_portable.h for what a vector type is.
#ifndef RALLY_WORKERS_ATTENTION_VECTOR_AVX2_H_
#define RALLY_WORKERS_ATTENTION_VECTOR_AVX2_H_

#include <immintrin.h>

#include "workers/attention/exp2_polynomial.h"

namespace rally {

struct VectorAvx2 {
  using Reg = __m256;

  static constexpr int kLanes = 8;
  static constexpr int kPack = 1;
  static constexpr int kMaxVectors = 2;
  static constexpr int kTileRows[] = {0, 8, 6};

  static Reg Load(const float* p) { return _mm256_loadu_ps(p); }
  static void Store(float* p, Reg x) { _mm256_storeu_ps(p, x); }
  static Reg Broadcast(float x) { return _mm256_set1_ps(x); }
  static Reg Constant(float x) { return Broadcast(x); }
  static Reg Add(Reg a, Reg b) { return _mm256_add_ps(a, b); }
  static Reg Sub(Reg a, Reg b) { return _mm256_sub_ps(a, b); }
  static Reg Mul(Reg a, Reg b) { return _mm256_mul_ps(a, b); }
  static Reg Fma(Reg a, Reg b, Reg c) { return _mm256_fmadd_ps(a, b, c); }
  static Reg Max(Reg a, Reg b) { return _mm256_max_ps(a, b); }
  static Reg Min(Reg a, Reg b) { return _mm256_min_ps(a, b); }
  static Reg Keep(float lo, float hi, Reg lane, Reg x, Reg otherwise) {
    const Reg keep = _mm256_and_ps(_mm256_cmp_ps(lane, Broadcast(lo), _CMP_GE_OQ),
                                   _mm256_cmp_ps(lane, Broadcast(hi), _CMP_LT_OQ));
    return _mm256_blendv_ps(otherwise, x, keep);
  }
  static Reg LaneNumbers() { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }

  static Reg Exp2(const Exp2Polynomial<VectorAvx2>& polynomial, Reg x) {
    x = Max(Broadcast(-127.0f), x);
    const Reg floor = _mm256_floor_ps(x);
    const __m256i power =
        _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(floor), _mm256_set1_epi32(127)), 23);
    return Mul(polynomial(Sub(x, floor)), _mm256_castsi256_ps(power));
  }

  static void Transpose(Reg (&x)[kLanes]) {
    Reg t[kLanes];
    for (int i = 0; i < 8; i += 2) {
      t[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
      t[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) {
      x[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
      x[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xEE);
      x[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      x[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
      t[i] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x20);
      t[i + 4] = _mm256_permute2f128_ps(x[i], x[i + 4], 0x31);
    }
    for (int i = 0; i < 8; ++i) x[i] = t[i];
  }
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_VECTOR_AVX2_H_
