// WeightLayout: names, shapes and places of a Llama model's weights in one flat array.
//
// Names and shapes are Hugging Face's for LlamaForCausalLM; matrices are [out, in], row after row.
// Values, gradients and optimizer moments share the layout, so that each is one array for
// reductions, the optimizer and checksums. Offsets are multiples of 16 elements; what lies between
// weights is zero. Plain data and pure functions; any thread.
#ifndef RALLY_WORKERS_MODEL_WEIGHT_LAYOUT_H_
#define RALLY_WORKERS_MODEL_WEIGHT_LAYOUT_H_

#include <cstdint>
#include <string>
#include <vector>

#include <absl/types/span.h>

#include "scheduler/model_shape.h"

namespace rally {

struct WeightInfo {
  std::string name;
  std::vector<int64_t> shape;
  int64_t offset = 0;  // Of the first element in the flat array.
  int64_t elements = 0;
  double initial_deviation = 0;  // Of the normal distribution; 0: all ones (norms).

  bool is_matrix() const { return shape.size() == 2; }
};

struct WeightLayout {
  std::vector<WeightInfo> weights;  // In order of offset.
  int64_t elements = 0;             // Of the flat array.

  // The weight of that name, which must exist.
  const WeightInfo& Find(const std::string& name) const;
};

// "model.layers.<layer>.<what>.weight"
std::string LayerWeightName(int64_t layer, const std::string& what);

WeightLayout LayOutWeights(const ModelShape& shape);

// normal(0, 0.02); projections back into the residual stream scaled by 1 / sqrt(2 L). Each weight
// has a generator of its own, seeded by (seed, its index): independent of ranks and threads.
// `values` has layout.elements.
void InitializeWeights(const WeightLayout& layout, uint64_t seed, absl::Span<float> values);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_WEIGHT_LAYOUT_H_
