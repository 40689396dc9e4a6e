// Exp2Polynomial: 2^r for r in [0, 1), the fractional part of every vector type's Exp2.
//
// Minimax of degree 5 with 1 at 0: relative error 8.3e-8 (1.4 unit roundoffs) before rounding.
#ifndef RALLY_WORKERS_ATTENTION_EXP2_POLYNOMIAL_H_
#define RALLY_WORKERS_ATTENTION_EXP2_POLYNOMIAL_H_

namespace rally {

template <class V>
inline typename V::Reg Exp2Polynomial(typename V::Reg r) {
  typename V::Reg p = V::Broadcast(0.0018671300724412605f);
  p = V::Fma(p, r, V::Broadcast(0.009017030315885466f));
  p = V::Fma(p, r, V::Broadcast(0.055799913109679945f));
  p = V::Fma(p, r, V::Broadcast(0.24016445015286791f));
  p = V::Fma(p, r, V::Broadcast(0.6931513118048798f));
  return V::Fma(p, r, V::Broadcast(1.0f));
}

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_EXP2_POLYNOMIAL_H_
