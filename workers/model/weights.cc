#include "workers/model/weights.h"

#include <ATen/ATen.h>

namespace rally {
namespace {

at::Tensor Part(const at::Tensor& flat, const WeightInfo& info) {
  return flat.narrow(0, info.offset, info.elements).view(info.shape).detach();
}

}  // namespace

Weights::Weights(const ModelShape& shape, const at::Tensor& values, at::ScalarType compute_type)
    : layout_(LayOutWeights(shape)),
      values_(values),
      gradients_(at::zeros_like(values)),
      compute_(compute_type == values.scalar_type() ? values : values.to(compute_type)) {
  embedding_VD = View("model.embed_tokens.weight");
  for (int64_t layer = 0; layer < shape.layers; ++layer) {
    const auto view = [&](const char* what) { return View(LayerWeightName(layer, what)); };
    LayerWeights weights;
    weights.input_norm_D = view("input_layernorm");
    weights.q_proj = view("self_attn.q_proj");
    weights.k_proj = view("self_attn.k_proj");
    weights.v_proj = view("self_attn.v_proj");
    weights.o_proj = view("self_attn.o_proj");
    weights.mlp_norm_D = view("post_attention_layernorm");
    weights.gate_proj_FD = view("mlp.gate_proj");
    weights.up_proj_FD = view("mlp.up_proj");
    weights.down_proj_DF = view("mlp.down_proj");
    layers.push_back(std::move(weights));
  }
  norm_D = View("model.norm.weight");
  head_VD = shape.tie_embeddings ? embedding_VD : View("lm_head.weight");
}

Weight Weights::View(const std::string& name) {
  const WeightInfo& info = layout_.Find(name);
  Weight weight;
  weight.compute = Part(compute_, info);
  weight.master = Part(values_, info).requires_grad_(true);
  weight.master.mutable_grad() = Part(gradients_, info);
  return weight;
}

void Weights::ValuesChanged() {
  if (!compute_.is_same(values_)) compute_.copy_(values_);
}

void Weights::ClearGradients() { gradients_.zero_(); }

}  // namespace rally
