// VectorAvx512: sixteen float lanes with AVX-512 F and DQ. See vector_portable.h for what a vector
// type is. Avx512Lanes is what it shares with VectorAvx512Bf16, made anew for each `Vector`, since
// their sources are compiled with different flags.
#ifndef RALLY_WORKERS_ATTENTION_VECTOR_AVX512_H_
#define RALLY_WORKERS_ATTENTION_VECTOR_AVX512_H_

#include <immintrin.h>

#include "workers/attention/exp2_polynomial.h"

namespace rally {

template <class Vector>
struct Avx512Lanes {
  using Reg = __m512;

  static constexpr int kLanes = 16;
  static constexpr int kMaxVectors = 4;
  static constexpr int kTileRows[] = {0, 8, 8, 8, 6};

  static Reg Load(const float* p) { return _mm512_loadu_ps(p); }
  static void Store(float* p, Reg x) { _mm512_storeu_ps(p, x); }
  static Reg Broadcast(float x) { return _mm512_set1_ps(x); }
  static Reg Constant(float x) {
    Reg register_x = Broadcast(x);
    asm("" : "+v"(register_x));  // Or the compiler would load it at each use.
    return register_x;
  }
  static Reg Add(Reg a, Reg b) { return _mm512_add_ps(a, b); }
  static Reg Sub(Reg a, Reg b) { return _mm512_sub_ps(a, b); }
  static Reg Mul(Reg a, Reg b) { return _mm512_mul_ps(a, b); }
  static Reg Fma(Reg a, Reg b, Reg c) { return _mm512_fmadd_ps(a, b, c); }
  static Reg Max(Reg a, Reg b) { return _mm512_max_ps(a, b); }
  static Reg Min(Reg a, Reg b) { return _mm512_min_ps(a, b); }
  static Reg Keep(float lo, float hi, Reg lane, Reg x, Reg otherwise) {
    const __mmask16 keep = _mm512_cmp_ps_mask(lane, Broadcast(lo), _CMP_GE_OQ) &
                           _mm512_cmp_ps_mask(lane, Broadcast(hi), _CMP_LT_OQ);
    return _mm512_mask_blend_ps(keep, otherwise, x);
  }
  static Reg LaneNumbers() {
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
  }

  static Reg Exp2(const Exp2Polynomial<Vector>& polynomial, Reg x) {
    // x - floor(x), 0 for infinities; scalef multiplies by 2^floor(x).
    const Reg fraction = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    return _mm512_scalef_ps(polynomial(fraction), x);
  }

  static void Transpose(Reg (&x)[kLanes]) {
    Reg t[kLanes];
    for (int i = 0; i < 16; i += 2) {
      t[i] = _mm512_unpacklo_ps(x[i], x[i + 1]);
      t[i + 1] = _mm512_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 16; i += 4) {
      x[i] = _mm512_shuffle_ps(t[i], t[i + 2], 0x44);
      x[i + 1] = _mm512_shuffle_ps(t[i], t[i + 2], 0xEE);
      x[i + 2] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0x44);
      x[i + 3] = _mm512_shuffle_ps(t[i + 1], t[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; ++i) {
      t[i] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0x88);
      t[i + 4] = _mm512_shuffle_f32x4(x[i], x[i + 4], 0xDD);
      t[i + 8] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0x88);
      t[i + 12] = _mm512_shuffle_f32x4(x[i + 8], x[i + 12], 0xDD);
    }
    for (int i = 0; i < 4; ++i) {
      x[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
      x[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xDD);
      x[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
      x[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xDD);
    }
  }
};

struct VectorAvx512 : Avx512Lanes<VectorAvx512> {
  static constexpr int kPack = 1;
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_VECTOR_AVX512_H_
