// Exp2Polynomial: 2^r for r in [0, 1), the fractional part of every vector type's Exp2.
//
// Minimax with 1 at 0. Degree 5: relative error 8.3e-8 (1.4 unit roundoffs) before rounding. Where
// terms are rounded to bfloat16, whose unit roundoff is 3.9e-3, degree 4: 2.9e-6.
#ifndef RALLY_WORKERS_ATTENTION_EXP2_POLYNOMIAL_H_
#define RALLY_WORKERS_ATTENTION_EXP2_POLYNOMIAL_H_

namespace rally {

// Made before a loop, which then finds the coefficients where V::Constant keeps them.
template <class V>
class Exp2Polynomial {
 public:
  using Reg = typename V::Reg;

  Exp2Polynomial() {
#pragma GCC unroll 6
    for (int i = 0; i <= kDegree; ++i) {
      coefficient_[i] = V::Constant(V::kPack == 1 ? kDegree5[i] : kDegree4[i]);
    }
  }

  Reg operator()(Reg r) const {
    Reg sum = coefficient_[kDegree];
#pragma GCC unroll 5
    for (int i = kDegree - 1; i >= 0; --i) sum = V::Fma(sum, r, coefficient_[i]);
    return sum;
  }

 private:
  static constexpr int kDegree = V::kPack == 1 ? 5 : 4;
  static constexpr float kDegree5[] = {1.0f,
                                       0.6931513118048798f,
                                       0.24016445015286791f,
                                       0.055799913109679945f,
                                       0.009017030315885466f,
                                       0.0018671300724412605f};
  static constexpr float kDegree4[] = {1.0f, 0.6930448412895203f, 0.2412802129983902f,
                                       0.052242472767829895f, 0.013426684774458408f};

  Reg coefficient_[kDegree + 1];
};

// exp2(scale * (x - max)), with a scale of 1 unless kScaled. The difference is scaled, not each x:
// it must be 0 at the maximum.
template <class V, bool kScaled>
class Exp2OfDifference {
 public:
  using Reg = typename V::Reg;

  explicit Exp2OfDifference(float scale) : scale_(V::Constant(scale)) {}

  Reg operator()(Reg x, Reg max) const {
    const Reg difference = V::Sub(x, max);
    return V::Exp2(polynomial_, kScaled ? V::Mul(scale_, difference) : difference);
  }

 private:
  const Exp2Polynomial<V> polynomial_;
  const Reg scale_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_EXP2_POLYNOMIAL_H_
