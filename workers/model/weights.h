// Weights: the model's weights as tensors, views into flat arrays.
//
// Masters are what the optimizer changes and autograd differentiates; `compute` is their copy in
// the type layers multiply in (the master itself when the types agree). Gradients accumulate into
// one flat array. Internal to workers/model: this header needs LibTorch. Threads: one at a time.
#ifndef RALLY_WORKERS_MODEL_WEIGHTS_H_
#define RALLY_WORKERS_MODEL_WEIGHTS_H_

#include <vector>

#include <ATen/core/Tensor.h>

#include "scheduler/model_shape.h"
#include "workers/model/weight_layout.h"

namespace rally {

struct Weight {
  at::Tensor master;   // Autograd leaf.
  at::Tensor compute;  // Same shape, the compute type, no gradient.
};

struct LayerWeights {
  Weight input_norm_D;
  Weight q_proj;  // [N * H, D]
  Weight k_proj;  // [M * H, D]
  Weight v_proj;  // [M * H, D]
  Weight o_proj;  // [D, N * H]
  Weight mlp_norm_D;
  Weight gate_proj_FD;
  Weight up_proj_FD;
  Weight down_proj_DF;
};

class Weights {
 public:
  // `values` is flat, of layout LayOutWeights(shape), and is kept: float32, or double in tests.
  Weights(const ModelShape& shape, const at::Tensor& values, at::ScalarType compute_type);

  Weight embedding_VD;
  std::vector<LayerWeights> layers;
  Weight norm_D;
  Weight head_VD;  // The embedding itself when tied.

  const WeightLayout& layout() const { return layout_; }
  at::ScalarType compute_type() const { return compute_.scalar_type(); }
  const at::Tensor& values() const { return values_; }        // Flat.
  const at::Tensor& gradients() const { return gradients_; }  // Flat.

  // Brings the compute copies up to date; call after the values have changed.
  void ValuesChanged();
  void ClearGradients();

 private:
  Weight View(const std::string& name);

  WeightLayout layout_;
  at::Tensor values_;
  at::Tensor gradients_;
  at::Tensor compute_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_WEIGHTS_H_
