#include "workers/model/weight_layout.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "common/check.h"

namespace rally {
namespace {

constexpr double kDeviation = 0.02;
constexpr int64_t kWeightAlignment = 16;  // Elements.

void Append(const std::string& name, std::vector<int64_t> shape, double deviation,
            WeightLayout* layout) {
  WeightInfo weight;
  weight.name = name;
  weight.offset = layout->elements;
  weight.elements = 1;
  for (const int64_t size : shape) weight.elements *= size;
  weight.shape = std::move(shape);
  weight.initial_deviation = deviation;
  layout->elements +=
      (weight.elements + kWeightAlignment - 1) / kWeightAlignment * kWeightAlignment;
  layout->weights.push_back(std::move(weight));
}

void AppendLayer(const ModelShape& shape, int64_t layer, WeightLayout* layout) {
  const int64_t D = shape.hidden_size;
  const int64_t F = shape.feed_forward_size;
  const int64_t NH = shape.heads * shape.head_dim;
  const int64_t MH = shape.kv_heads * shape.head_dim;
  const double residual = kDeviation / std::sqrt(2.0 * static_cast<double>(shape.layers));
  const auto append = [&](const std::string& what, std::vector<int64_t> sizes, double deviation) {
    Append(LayerWeightName(layer, what), std::move(sizes), deviation, layout);
  };
  append("input_layernorm", {D}, 0);
  append("self_attn.q_proj", {NH, D}, kDeviation);
  append("self_attn.k_proj", {MH, D}, kDeviation);
  append("self_attn.v_proj", {MH, D}, kDeviation);
  append("self_attn.o_proj", {D, NH}, residual);
  append("post_attention_layernorm", {D}, 0);
  append("mlp.gate_proj", {F, D}, kDeviation);
  append("mlp.up_proj", {F, D}, kDeviation);
  append("mlp.down_proj", {D, F}, residual);
}

// SplitMix64 (Steele, Lea, Flood 2014): a counter run through a mixing function.
class SplitMix {
 public:
  explicit SplitMix(uint64_t state) : state_(state) {}
  uint64_t Next() {
    uint64_t z = state_ += 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
  }
  // Uniform in (0, 1].
  double NextUniform() { return (static_cast<double>(Next() >> 11) + 1.0) * 0x1p-53; }

 private:
  uint64_t state_;
};

// Box-Muller.
void FillNormal(double deviation, SplitMix* random, absl::Span<float> values) {
  for (size_t i = 0; i < values.size(); i += 2) {
    const double radius = deviation * std::sqrt(-2.0 * std::log(random->NextUniform()));
    const double angle = 2.0 * std::numbers::pi * random->NextUniform();
    values[i] = static_cast<float>(radius * std::cos(angle));
    if (i + 1 < values.size()) values[i + 1] = static_cast<float>(radius * std::sin(angle));
  }
}

}  // namespace

const WeightInfo& WeightLayout::Find(const std::string& name) const {
  const auto found = std::find_if(weights.begin(), weights.end(),
                                  [&](const WeightInfo& weight) { return weight.name == name; });
  RALLY_CHECK(found != weights.end(), "no weight " + name);
  return *found;
}

std::string LayerWeightName(int64_t layer, const std::string& what) {
  return "model.layers." + std::to_string(layer) + "." + what + ".weight";
}

WeightLayout LayOutWeights(const ModelShape& shape) {
  WeightLayout layout;
  Append("model.embed_tokens.weight", {shape.vocabulary, shape.hidden_size}, kDeviation, &layout);
  for (int64_t layer = 0; layer < shape.layers; ++layer) AppendLayer(shape, layer, &layout);
  Append("model.norm.weight", {shape.hidden_size}, 0, &layout);
  if (!shape.tie_embeddings) {
    Append("lm_head.weight", {shape.vocabulary, shape.hidden_size}, kDeviation, &layout);
  }
  return layout;
}

void InitializeWeights(const WeightLayout& layout, uint64_t seed, absl::Span<float> values) {
  RALLY_CHECK(static_cast<int64_t>(values.size()) == layout.elements, "array of another layout");
  std::fill(values.begin(), values.end(), 0.0f);
  for (size_t i = 0; i < layout.weights.size(); ++i) {
    const WeightInfo& weight = layout.weights[i];
    const absl::Span<float> part = values.subspan(weight.offset, weight.elements);
    if (weight.initial_deviation == 0) {
      std::fill(part.begin(), part.end(), 1.0f);
    } else {
      SplitMix mixer(seed);
      SplitMix random(mixer.Next() + i * 0xD1342543DE82EF95);
      FillNormal(weight.initial_deviation, &random, part);
    }
  }
}

}  // namespace rally
