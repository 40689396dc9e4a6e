// EmulatedAvx512: the AVX-512 intrinsics that vector_avx512*.h call, made of AVX2's, so that the
// tiles of those instruction sets can be tested on a processor that lacks them.
//
// Included before all else by the compiler's command line (CMakeLists.txt), into sources of
// workers/attention that are compiled with -mavx2 -mfma. What each gives is what Intel's Software
// Developer's Manual (volume 2) says of its instruction, rounding, NaN and subnormals included.
// Not emulated: speed, and what the compiler makes of the true intrinsics.
#ifndef RALLY_TESTS_ATTENTION_EMULATED_AVX512_H_
#define RALLY_TESTS_ATTENTION_EMULATED_AVX512_H_

#include <immintrin.h>  // The vector types are there whatever the flags say.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

namespace rally::emulated {

// As the header's own: a vector of 64 bytes is its two halves.
template <class Part, class Whole>
Part HalfOf(const Whole& whole, int half) {
  static_assert(2 * sizeof(Part) == sizeof(Whole));
  Part part;
  std::memcpy(&part, reinterpret_cast<const char*>(&whole) + half * sizeof(Part), sizeof(Part));
  return part;
}

template <class Whole, class Part>
Whole Join(const Part& low, const Part& high) {
  static_assert(2 * sizeof(Part) == sizeof(Whole));
  Whole whole;
  std::memcpy(&whole, &low, sizeof(Part));
  std::memcpy(reinterpret_cast<char*>(&whole) + sizeof(Part), &high, sizeof(Part));
  return whole;
}

template <class Function, class... Vector>
__m512 OfFloats(Function function, const Vector&... x) {
  return Join<__m512>(function(HalfOf<__m256>(x, 0)...), function(HalfOf<__m256>(x, 1)...));
}

template <class Function, class... Vector>
__m512i OfIntegers(Function function, const Vector&... x) {
  return Join<__m512i>(function(HalfOf<__m256i>(x, 0)...), function(HalfOf<__m256i>(x, 1)...));
}

inline __m512 Load(const void* p) {
  __m512 x;
  std::memcpy(&x, p, sizeof(x));
  return x;
}

// Bit for bit: `x` may be a pair of bfloat16, whose sum with anything is another one.
inline __m512 Fill(float x) { return Join<__m512>(_mm256_set1_ps(x), _mm256_set1_ps(x)); }

inline void Store(void* p, __m512 x) { std::memcpy(p, &x, sizeof(x)); }

template <int kPredicate>
__mmask16 Compare(__m512 a, __m512 b) {
  const auto half = [&](int i) {
    return _mm256_movemask_ps(
        _mm256_cmp_ps(HalfOf<__m256>(a, i), HalfOf<__m256>(b, i), kPredicate));
  };
  return static_cast<__mmask16>(half(0) | half(1) << 8);
}

// `b` where the mask's bit is set.
inline __m512 Blend(__mmask16 mask, __m512 a, __m512 b) {
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) a[i] = b[i];
  }
  return a;
}

// VREDUCEPS: x - floor(x), which is what the immediate must ask for; infinities give 0.
template <int kImmediate>
__m512 FractionOf(__m512 x) {
  static_assert(kImmediate == (_MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
  return OfFloats(
      [](__m256 h) {
        const __m256 sign = _mm256_set1_ps(-0.0f);
        const __m256 infinity = _mm256_set1_ps(std::numeric_limits<float>::infinity());
        const __m256 infinite = _mm256_cmp_ps(_mm256_andnot_ps(sign, h), infinity, _CMP_EQ_OQ);
        return _mm256_andnot_ps(infinite, _mm256_sub_ps(h, _mm256_floor_ps(h)));
      },
      x);
}

// VSCALEFPS: a * 2^floor(b), rounded once.
inline float Scale(float a, float b) {
  if (std::isnan(a) || std::isnan(b)) return a + b;
  if (std::isinf(b)) {
    const bool undefined = b > 0 ? a == 0.0f : std::isinf(a);
    if (undefined) return std::numeric_limits<float>::quiet_NaN();
    return std::copysign(b > 0 ? b : 0.0f, a);
  }
  constexpr float kFar = 1000.0f;  // Beyond it every float overflows, or underflows.
  const float whole = b < -kFar ? -kFar : b > kFar ? kFar : std::floor(b);
  return std::ldexp(a, static_cast<int>(whole));
}

inline __m512 Scale(__m512 a, __m512 b) {
  __m512 result;
  for (int i = 0; i < 16; ++i) result[i] = Scale(a[i], b[i]);
  return result;
}

// Quarters of `a`, then of `b`, by two bits of `kOrder` each.
template <int kOrder>
__m512 ShuffleQuarters(__m512 a, __m512 b) {
  __m512 result;
  for (int i = 0; i < 16; ++i) {
    const int from = (kOrder >> (i / 4 * 2) & 3) * 4 + i % 4;
    result[i] = i < 8 ? a[from] : b[from];
  }
  return result;
}

using Shorts = uint16_t __attribute__((vector_size(64)));
using HalfShorts = uint16_t __attribute__((vector_size(32)));

// The highest comes first.
inline __m512i FromShorts(const uint16_t (&elements)[32]) {
  Shorts result;
  for (int i = 0; i < 32; ++i) result[i] = elements[31 - i];
  return (__m512i)result;
}

inline __m512i Permute(__m512i order, __m512i x) {
  Shorts result;
  for (int i = 0; i < 32; ++i) result[i] = ((Shorts)x)[((Shorts)order)[i] & 31];
  return (__m512i)result;
}

inline __m512i Widen(__m256i shorts) {
  return Join<__m512i>(_mm256_cvtepu16_epi32(_mm256_castsi256_si128(shorts)),
                       _mm256_cvtepu16_epi32(_mm256_extracti128_si256(shorts, 1)));
}

// Subnormals as zeros of their sign: so do the bfloat16 instructions with operands and results.
inline __m256 Flush(__m256 x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m256 least = _mm256_set1_ps(std::numeric_limits<float>::min());
  const __m256 tiny = _mm256_cmp_ps(_mm256_andnot_ps(sign, x), least, _CMP_LT_OQ);
  return _mm256_blendv_ps(x, _mm256_and_ps(x, sign), tiny);
}

// VDPBF16PS: the odd elements' products first, each a fused multiply-add.
inline __m512 Dot(__m512 sum, __m512bh a, __m512bh b) {
  const auto odd = [](__m256i pairs) {
    return Flush(_mm256_castsi256_ps(_mm256_and_si256(pairs, _mm256_set1_epi32(-65536))));
  };
  const auto even = [](__m256i pairs) {
    return Flush(_mm256_castsi256_ps(_mm256_slli_epi32(pairs, 16)));
  };
  const auto half = [&](int i) {
    const auto x = HalfOf<__m256i>(a, i);
    const auto y = HalfOf<__m256i>(b, i);
    const __m256 first = Flush(_mm256_fmadd_ps(odd(x), odd(y), Flush(HalfOf<__m256>(sum, i))));
    return Flush(_mm256_fmadd_ps(even(x), even(y), first));
  };
  return Join<__m512>(half(0), half(1));
}

// To nearest even; subnormals to zero, NaN quiet.
inline HalfShorts Round(__m512 x) {
  HalfShorts result;
  for (int i = 0; i < 16; ++i) {
    const auto bits = __builtin_bit_cast(uint32_t, static_cast<float>(x[i]));
    if ((bits & 0x7f800000) == 0) {
      result[i] = static_cast<uint16_t>(bits >> 16 & 0x8000);
    } else if (std::isnan(x[i])) {
      result[i] = static_cast<uint16_t>(bits >> 16 | 0x40);
    } else {
      result[i] = static_cast<uint16_t>((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
    }
  }
  return result;
}

}  // namespace rally::emulated

// clang-format off
// An intrinsic is not a function one could point to.
#define RALLY_BY_HALVES(kind, intrinsic, ...) \
  rally::emulated::kind([](auto... half) { return intrinsic(half...); }, __VA_ARGS__)
#define _mm512_loadu_ps(p) rally::emulated::Load(p)
#define _mm512_storeu_ps(p, x) rally::emulated::Store(p, x)
#define _mm512_set1_ps(x) rally::emulated::Fill(x)
#define _mm512_add_ps(a, b) RALLY_BY_HALVES(OfFloats, _mm256_add_ps, a, b)
#define _mm512_sub_ps(a, b) RALLY_BY_HALVES(OfFloats, _mm256_sub_ps, a, b)
#define _mm512_mul_ps(a, b) RALLY_BY_HALVES(OfFloats, _mm256_mul_ps, a, b)
#define _mm512_fmadd_ps(a, b, c) RALLY_BY_HALVES(OfFloats, _mm256_fmadd_ps, a, b, c)
#define _mm512_max_ps(a, b) RALLY_BY_HALVES(OfFloats, _mm256_max_ps, a, b)
#define _mm512_min_ps(a, b) RALLY_BY_HALVES(OfFloats, _mm256_min_ps, a, b)
#define _mm512_unpacklo_ps(a, b) RALLY_BY_HALVES(OfFloats, _mm256_unpacklo_ps, a, b)
#define _mm512_unpackhi_ps(a, b) RALLY_BY_HALVES(OfFloats, _mm256_unpackhi_ps, a, b)
#define _mm512_shuffle_ps(a, b, order) \
  rally::emulated::OfFloats([](__m256 x, __m256 y) { return _mm256_shuffle_ps(x, y, order); }, a, b)
#define _mm512_shuffle_f32x4(a, b, order) rally::emulated::ShuffleQuarters<order>(a, b)
#define _mm512_cmp_ps_mask(a, b, predicate) rally::emulated::Compare<predicate>(a, b)
#define _mm512_mask_blend_ps(mask, a, b) rally::emulated::Blend(mask, a, b)
#undef _mm512_setr_ps
#define _mm512_setr_ps(...) (__m512{__VA_ARGS__})
#define _mm512_reduce_ps(x, immediate) rally::emulated::FractionOf<immediate>(x)
#define _mm512_scalef_ps(a, b) rally::emulated::Scale(a, b)
#define _mm512_castsi512_ps(x) ((__m512)(x))
#define _mm512_castps_si512(x) ((__m512i)(x))
#define _mm512_set1_epi32(x) \
  rally::emulated::Join<__m512i>(_mm256_set1_epi32(x), _mm256_set1_epi32(x))
#define _mm512_and_si512(a, b) RALLY_BY_HALVES(OfIntegers, _mm256_and_si256, a, b)
#define _mm512_or_si512(a, b) RALLY_BY_HALVES(OfIntegers, _mm256_or_si256, a, b)
#define _mm512_slli_epi32(x, bits) \
  rally::emulated::OfIntegers([](__m256i h) { return _mm256_slli_epi32(h, bits); }, x)
#define _mm512_cvtepu16_epi32(x) rally::emulated::Widen(x)
#define _mm512_set_epi16(...) rally::emulated::FromShorts({__VA_ARGS__})
#define _mm512_permutexvar_epi16(order, x) rally::emulated::Permute(order, x)
#define _mm512_dpbf16_ps(sum, a, b) rally::emulated::Dot(sum, a, b)
#define _mm512_cvtneps_pbh(x) rally::emulated::Round(x)
#define _mm512_cvtne2ps_pbh(high, low) \
  rally::emulated::Join<__m512i>(rally::emulated::Round(low), rally::emulated::Round(high))
#define asm(...)  // VectorAvx512::Constant's, which tells the compiler alone of a register.
// clang-format on

#endif  // RALLY_TESTS_ATTENTION_EMULATED_AVX512_H_
