// Reference core attention: the slow, obvious form, in double precision, by plain loops.
//
// Beside each value stands a bound of the error that float32 arithmetic may make in it, to first
// order and in the worst case, so that tests need no tolerance of their own. With u = 2^-24, H the
// head's size and n the terms of a sum:
//   a score of H products      (H + 8) u sum |q k|, as an absolute error of the exponent
//   exp                        a relative error of 8 u besides, and what its argument brought
//   a sum of n terms           n u of the sum of magnitudes
//   p and ds, as a product     `rounding` besides, for kernels that round them to shorter elements:
//   of the sums they stand in  kBfloat16Rounding, a significand of 8 bits rounded to nearest
// Products of bfloat16 are exact in float32, so that scores have no more than the error above.
// Masks, scale and shapes as workers/attention/attention_kernel.h has them. Thread-safe.
#ifndef RALLY_TESTS_ATTENTION_REFERENCE_ATTENTION_H_
#define RALLY_TESTS_ATTENTION_REFERENCE_ATTENTION_H_

#include <cstddef>
#include <vector>

#include "workers/attention/attention_kernel.h"

namespace rally {

// A tensor and the error bound of each element.
struct ReferenceTensor {
  std::vector<double> value;
  std::vector<double> bound;

  explicit ReferenceTensor(size_t size = 0) : value(size), bound(size) {}
};

struct ReferenceOutput {
  ReferenceTensor out;  // [q_rows, N, H]
  ReferenceTensor lse;  // [q_rows, N]
};

struct ReferenceGradient {
  ReferenceTensor d_q;  // [q_rows, N, H]
  ReferenceTensor d_k;  // [kv_rows, M, H], of this task alone
  ReferenceTensor d_v;  // [kv_rows, M, H], of this task alone
};

inline constexpr double kBfloat16Rounding = 1.0 / (1 << 8);

// Reads q, k and v of the task, all of floats, whatever the shape's element.
ReferenceOutput ReferenceForward(const AttentionShape& shape, const VarlenTask& task,
                                 double rounding = 0.0);
// Reads q, k, v, d_out, lse and delta of the task, likewise.
ReferenceGradient ReferenceBackward(const AttentionShape& shape, const VarlenTask& task,
                                    double rounding = 0.0);

// Of a query row at `q` and a key row at `k`, positions in the document.
bool ReferenceAllowed(AttentionMask mask, int64_t q, int64_t k);

}  // namespace rally

#endif  // RALLY_TESTS_ATTENTION_REFERENCE_ATTENTION_H_
