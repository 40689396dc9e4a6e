// Layers: the pieces of a Llama block, differentiable, without core attention.
//
// The residual stream keeps the masters' type (float32); matrix products multiply in the weights'
// compute type and sum in float32. Pure functions of tensors, zero rows allowed. Internal to
// workers/model: this header needs LibTorch.
#ifndef RALLY_WORKERS_MODEL_LAYERS_H_
#define RALLY_WORKERS_MODEL_LAYERS_H_

#include <ATen/core/Tensor.h>

#include "workers/model/weights.h"

namespace rally {

// x_TI w_OI^T. `x` has the weight's compute type, the result has type `out`.
at::Tensor Linear(const at::Tensor& x_TI, const Weight& weight_OI, at::ScalarType out);

// x / sqrt(mean(x^2) + epsilon) * weight, per row, in x's type; rounded to `out`, which is x's type
// or bfloat16 where that is float32.
at::Tensor RmsNorm(const at::Tensor& x_TD, const Weight& weight_D, double epsilon,
                   at::ScalarType out);

// Cosines and sines of the angles by which RoPE turns, per row and pair of elements: element i and
// element i + H / 2 of a head are a pair (Hugging Face's rotate_half convention).
struct RopeTable {
  at::Tensor cosine_TP;  // P = H / 2
  at::Tensor sine_TP;
};
// `position_T` (int64) counts from the document's start. Angles are computed in double.
RopeTable MakeRopeTable(const at::Tensor& position_T, int64_t head_dim, double theta,
                        at::ScalarType type);
// Turns x [T, heads, H].
at::Tensor Rope(const at::Tensor& x_TNH, const RopeTable& table);

// silu(gate) * up; of bfloat16 too, computed in float32 and rounded once.
at::Tensor SwiGlu(const at::Tensor& gate_TF, const at::Tensor& up_TF);

// Rows of the embedding, in the masters' type.
at::Tensor Embed(const at::Tensor& token_T, const Weight& embedding_VD);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_LAYERS_H_
