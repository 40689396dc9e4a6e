// RowLoops: the loops of RowOperations, written once for all instruction sets.
//
// Included only by row_operations*.cc, each compiled for an instruction set of its own. `Set` is a
// type of that source, which makes each one's code a distinct entity to the linker. For the same
// reason nothing here is an inline function of the standard library: the linker might pick the
// copy compiled for a processor we do not run on. Loops that say `omp simd` become vectors, sums
// included.
#ifndef RALLY_WORKERS_MODEL_ROW_LOOPS_H_
#define RALLY_WORKERS_MODEL_ROW_LOOPS_H_

#include <cstdint>

#include "workers/model/row_operations.h"

namespace rally {

// `Element` is float, double, or uint16_t for the bits of a bfloat16.
template <class Element>
struct RealOf {
  using Type = float;
};
template <>
struct RealOf<double> {
  using Type = double;
};

template <class Set, class Element>
struct RowLoops {
  using Real = typename RealOf<Element>::Type;

  static constexpr int64_t kSumBlock = 512;  // Terms of a float32 sum; such sums add up in double.

#define RALLY_INLINE [[gnu::always_inline]] static inline

  RALLY_INLINE double Load(const double* p) { return *p; }
  RALLY_INLINE float Load(const float* p) { return *p; }
  RALLY_INLINE float Load(const uint16_t* p) {
    return __builtin_bit_cast(float, static_cast<uint32_t>(*p) << 16);
  }
  RALLY_INLINE void Store(double* p, double x) { *p = x; }
  RALLY_INLINE void Store(float* p, float x) { *p = x; }
  RALLY_INLINE void Store(uint16_t* p, float x) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, x);
    const uint32_t even = (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
    const uint32_t nan = (bits >> 16) | 0x40;
    *p = static_cast<uint16_t>(x == x ? even : nan);
  }

  RALLY_INLINE double SquareRoot(double x) { return __builtin_sqrt(x); }
  RALLY_INLINE float SquareRoot(float x) { return __builtin_sqrtf(x); }

  RALLY_INLINE double Exp(double x) { return __builtin_exp(x); }
  // To 1.3 ulp from -87.3 to 88.3, 0 below and e^88.3 above; NaN stays. It is 2^k e^r, with a
  // polynomial of degree 6 for e^r on [-log(2) / 2, log(2) / 2], of relative error 1.1e-8.
  RALLY_INLINE float Exp(float x) {
    constexpr float kLow = -0x1.5d589ep6f;  // 2^-126, the least normal number.
    constexpr float kHigh = 0x1.617a32p6f;  // 2^127.49: k is at most 127.
    const float bounded = x > kHigh ? kHigh : x;
    // The sum's last bit is worth 1, and its last nine are the biased exponent of 2^k.
    constexpr float kRound = 0x1.8p23f + 127.0f;
    const float sum = bounded * 0x1.715476p0f + kRound;
    const float k = sum - kRound;
    // log(2) in two parts; products with the first one are exact.
    float r = bounded - k * 0.693359375f;
    r = r + k * 2.12194440e-4f;
    float p = 0x1.6d117cp-10f;
    p = p * r + 0x1.120be2p-7f;
    p = p * r + 0x1.555518p-5f;
    p = p * r + 0x1.5554dcp-3f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    const float power = __builtin_bit_cast(float, __builtin_bit_cast(uint32_t, sum) << 23);
    return x < kLow ? 0.0f : p * power;
  }

  RALLY_INLINE Real Sigmoid(Real x) { return Real{1} / (Real{1} + Exp(-x)); }

#undef RALLY_INLINE

  static void Norm(int64_t rows, int64_t width, const void* x_in, const void* w_in, double epsilon,
                   void* scale_out, void* y_out) {
    const Real* w = static_cast<const Real*>(w_in);
    for (int64_t row = 0; row < rows; ++row) {
      const Real* x = static_cast<const Real*>(x_in) + row * width;
      Element* y = static_cast<Element*>(y_out) + row * width;
      Real sum = 0;
#pragma omp simd reduction(+ : sum)
      for (int64_t i = 0; i < width; ++i) sum += x[i] * x[i];
      const Real mean = sum / static_cast<Real>(width);
      const Real scale = Real{1} / SquareRoot(mean + static_cast<Real>(epsilon));
      static_cast<Real*>(scale_out)[row] = scale;
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) Store(y + i, x[i] * scale * w[i]);
    }
  }

  static void NormBackward(int64_t rows, int64_t width, const void* x_in, const void* w_in,
                           const void* scale_in, const void* dy_in, void* dx_out, void* dw_sum) {
    const Real* w = static_cast<const Real*>(w_in);
    Real* dw = static_cast<Real*>(dw_sum);
    for (int64_t row = 0; row < rows; ++row) {
      const Real* x = static_cast<const Real*>(x_in) + row * width;
      const Element* dy = static_cast<const Element*>(dy_in) + row * width;
      Real* dx = static_cast<Real*>(dx_out) + row * width;
      const Real scale = static_cast<const Real*>(scale_in)[row];
      Real along = 0;
#pragma omp simd reduction(+ : along)
      for (int64_t i = 0; i < width; ++i) along += Load(dy + i) * w[i] * x[i];
      along *= scale * scale / static_cast<Real>(width);
#pragma omp simd
      for (int64_t i = 0; i < width; ++i) {
        const Real g = Load(dy + i);
        dx[i] = scale * (g * w[i] - along * x[i]);
        dw[i] += g * x[i] * scale;
      }
    }
  }

  static void Turn(int64_t rows, int64_t heads, int64_t pairs, const void* cosine_in,
                   const void* sine_in, bool backwards, const void* x_in, void* y_out) {
    const Real sign = backwards ? Real{-1} : Real{1};
    for (int64_t row = 0; row < rows; ++row) {
      const Real* cosine = static_cast<const Real*>(cosine_in) + row * pairs;
      const Real* sine = static_cast<const Real*>(sine_in) + row * pairs;
      for (int64_t head = 0; head < heads; ++head) {
        const int64_t at = (row * heads + head) * 2 * pairs;
        const Real* x = static_cast<const Real*>(x_in) + at;
        Real* y = static_cast<Real*>(y_out) + at;
#pragma omp simd
        for (int64_t i = 0; i < pairs; ++i) {
          const Real s = sign * sine[i];
          y[i] = x[i] * cosine[i] - x[i + pairs] * s;
          y[i + pairs] = x[i + pairs] * cosine[i] + x[i] * s;
        }
      }
    }
  }

  static void SwiGlu(int64_t count, const void* gate_in, const void* up_in, void* y_out) {
    const Element* gate = static_cast<const Element*>(gate_in);
    const Element* up = static_cast<const Element*>(up_in);
    Element* y = static_cast<Element*>(y_out);
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const Real g = Load(gate + i);
      Store(y + i, g * Sigmoid(g) * Load(up + i));
    }
  }

  static void SwiGluBackward(int64_t count, const void* gate_in, const void* up_in,
                             const void* dy_in, void* d_gate_out, void* d_up_out) {
    const Element* gate = static_cast<const Element*>(gate_in);
    const Element* up = static_cast<const Element*>(up_in);
    const Element* dy = static_cast<const Element*>(dy_in);
    Element* d_gate = static_cast<Element*>(d_gate_out);
    Element* d_up = static_cast<Element*>(d_up_out);
#pragma omp simd
    for (int64_t i = 0; i < count; ++i) {
      const Real g = Load(gate + i);
      const Real d = Load(dy + i);
      const Real s = Sigmoid(g);
      Store(d_gate + i, d * Load(up + i) * s * (Real{1} + g * (Real{1} - s)));
      Store(d_up + i, d * g * s);
    }
  }

  // Passes over NaN. Four running maxima overlap.
  static Real Largest(int64_t count, const Real* x) {
    Real a = x[0], b = x[0], c = x[0], d = x[0];
    const int64_t quarter = count / 4;
#pragma omp simd reduction(max : a, b, c, d)
    for (int64_t i = 0; i < quarter; ++i) {
      a = x[i] > a ? x[i] : a;
      b = x[i + quarter] > b ? x[i + quarter] : b;
      c = x[i + 2 * quarter] > c ? x[i + 2 * quarter] : c;
      d = x[i + 3 * quarter] > d ? x[i + 3 * quarter] : d;
    }
    for (int64_t i = 4 * quarter; i < count; ++i) a = x[i] > a ? x[i] : a;
    a = a > b ? a : b;
    c = c > d ? c : d;
    return a > c ? a : c;
  }

  static double CrossEntropy(int64_t width, void* logits_in, int64_t target, void* gradient_out) {
    Real* x = static_cast<Real*>(logits_in);
    Element* gradient = static_cast<Element*>(gradient_out);
    const Real largest = Largest(width, x);
    const double of_target = static_cast<double>(x[target]) - static_cast<double>(largest);
    double sum = 0.0;
    for (int64_t begin = 0; begin < width; begin += kSumBlock) {
      const int64_t end = begin + kSumBlock < width ? begin + kSumBlock : width;
      Real part = 0;
#pragma omp simd reduction(+ : part)
      for (int64_t i = begin; i < end; ++i) {
        x[i] = Exp(x[i] - largest);
        part += x[i];
      }
      sum += static_cast<double>(part);
    }
    const double loss = __builtin_log(sum) - of_target;
    if (gradient == nullptr) return loss;
    const Real share = static_cast<Real>(1.0 / sum);
    const Real p_of_target = x[target] * share;
#pragma omp simd
    for (int64_t i = 0; i < width; ++i) Store(gradient + i, x[i] * share);
    Store(gradient + target, p_of_target - Real{1});
    return loss;
  }

  static constexpr RowOperations kTable = {
      .norm = Norm,
      .norm_backward = NormBackward,
      .turn = Turn,
      .swiglu = SwiGlu,
      .swiglu_backward = SwiGluBackward,
      .cross_entropy = CrossEntropy,
  };
};

template <class Set>
constexpr RowOperationSet kRowOperationsOf = {
    Set::kName,
    {RowLoops<Set, float>::kTable, RowLoops<Set, uint16_t>::kTable, RowLoops<Set, double>::kTable}};

// Each in a source of its own.
extern const RowOperationSet kPortableRowOperations;
extern const RowOperationSet kAvx2RowOperations;
extern const RowOperationSet kAvx512RowOperations;

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_ROW_LOOPS_H_
