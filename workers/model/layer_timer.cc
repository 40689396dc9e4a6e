#include "workers/model/layer_timer.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <absl/time/clock.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

#include "common/median.h"
#include "workers/model/adamw.h"
#include "workers/model/transformer.h"
#include "workers/model/weights.h"

namespace rally {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The difference of the two is layers alone; the rest of the smaller one is the head.
constexpr int64_t kFewLayers = 1;
constexpr int64_t kManyLayers = 3;
constexpr double kLeastShare = 0.01;  // Of the smaller one's time: noise must not make it none.

class NoAttentionFunction : public torch::autograd::Function<NoAttentionFunction> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q_TNH, const at::Tensor& k_TMH,
                            const at::Tensor& v_TMH) {
    ctx->save_for_backward({q_TNH, k_TMH, v_TMH});
    return at::zeros_like(q_TNH);
  }
  static variable_list backward(AutogradContext* ctx, const variable_list& /*gradients*/) {
    variable_list gradients;
    for (const at::Tensor& rows : ctx->get_saved_variables()) {
      gradients.push_back(at::zeros_like(rows));
    }
    return gradients;
  }
};

// Core attention that costs nothing; the ticket is the output itself.
class NoAttention final : public CoreAttention {
 public:
  at::Tensor Dispatch(const Phase& /*phase*/, const QueryKeyValue& rows,
                      const QueryKeyValue* /*ping*/) override {
    return NoAttentionFunction::apply(rows.q_TNH, rows.k_TMH, rows.v_TMH);
  }
  at::Tensor Collect(const at::Tensor& ticket) override { return ticket; }
};

absl::Span<float> Floats(const at::Tensor& flat) {
  return {flat.data_ptr<float>(), static_cast<size_t>(flat.numel())};
}

// One document of made-up tokens.
MicroBatchRows MakeRows(int64_t tokens, int64_t vocabulary) {
  MicroBatchRows rows;
  rows.in_use[0] = true;
  uint32_t state = 1;
  for (int64_t i = 0; i < tokens; ++i) {
    state = state * 1664525u + 1013904223u;
    rows.rows[0].token.push_back((state >> 8) % vocabulary);
    rows.rows[0].position.push_back(i);
    rows.rows[0].target.push_back((state >> 4) % vocabulary);
  }
  return rows;
}

// The spec's model with another number of layers.
class TimedModel {
 public:
  TimedModel(const JobSpec& spec, int64_t layers)
      : shape_(WithLayers(spec.model, layers)),
        weights_(shape_, InitialValues(shape_),
                 spec.training.compute_type == ComputeType::kBfloat16 ? at::kBFloat16 : at::kFloat),
        transformer_(shape_, &weights_),
        optimizer_(spec.optimizer, &weights_.layout()) {}

  // Appends the seconds of one forward and of one backward.
  void RunLayers(const MicroBatchRows& rows, std::vector<double>* forward,
                 std::vector<double>* backward) {
    const absl::Time start = absl::Now();
    const at::Tensor loss = transformer_.Loss(rows, &attention_);
    const absl::Time middle = absl::Now();
    torch::autograd::backward({loss}, {at::full_like(loss, 1.0)});
    forward->push_back(absl::ToDoubleSeconds(middle - start));
    backward->push_back(absl::ToDoubleSeconds(absl::Now() - middle));
  }

  void RunUpdate(std::vector<double>* seconds) {
    const absl::Time start = absl::Now();
    weights_.ClearGradients();
    const double norm = EuclideanNorm(Floats(weights_.gradients()));
    optimizer_.Step(++step_, 1e-4, ClippingScale(norm, 1.0), Floats(weights_.gradients()),
                    Floats(weights_.values()));
    weights_.ValuesChanged();
    seconds->push_back(absl::ToDoubleSeconds(absl::Now() - start));
  }

  int64_t parameters() const { return ParameterCount(shape_); }

 private:
  static ModelShape WithLayers(ModelShape shape, int64_t layers) {
    shape.layers = layers;
    return shape;
  }
  static at::Tensor InitialValues(const ModelShape& shape) {
    const WeightLayout layout = LayOutWeights(shape);
    const at::Tensor values = at::empty({layout.elements}, at::TensorOptions().dtype(at::kFloat));
    InitializeWeights(layout, 1, Floats(values));
    return values;
  }

  const ModelShape shape_;
  Weights weights_;
  Transformer transformer_;
  AdamW optimizer_;
  NoAttention attention_;
  int64_t step_ = 0;
};

class LayerTimerImpl final : public LayerTimer {
 public:
  LayerTimerImpl(const JobSpec& spec, int threads)
      : vocabulary_(spec.model.vocabulary),
        threads_(threads),
        few_(spec, kFewLayers),
        many_(spec, kManyLayers) {}

  absl::StatusOr<std::vector<LayerSeconds>> MeasureLayers(absl::Span<const int64_t> tokens,
                                                          int repeats) override {
    try {
      at::set_num_threads(threads_);
      at::AutoGradMode grad_mode(true);
      std::vector<MicroBatchRows> rows;
      for (const int64_t count : tokens) rows.push_back(MakeRows(count, vocabulary_));
      std::vector<Samples> samples(tokens.size());
      for (int pass = 0; pass <= repeats; ++pass) {
        for (size_t i = 0; i < tokens.size(); ++i) {
          few_.RunLayers(rows[i], &samples[i].few[0], &samples[i].few[1]);
          many_.RunLayers(rows[i], &samples[i].many[0], &samples[i].many[1]);
          if (pass == 0) samples[i] = {};  // Warms up.
        }
      }
      std::vector<LayerSeconds> result(tokens.size());
      for (size_t i = 0; i < tokens.size(); ++i) {
        const Samples& s = samples[i];
        Split(s.few[0], s.many[0], &result[i].layer_forward, &result[i].head_forward);
        Split(s.few[1], s.many[1], &result[i].layer_backward, &result[i].head_backward);
      }
      return result;
    } catch (const std::exception& error) {
      return absl::InternalError(error.what());
    }
  }

  absl::StatusOr<UpdateSeconds> MeasureUpdate(int repeats) override {
    try {
      at::set_num_threads(threads_);
      std::array<std::vector<double>, 2> seconds;
      for (int i = 0; i <= repeats; ++i) {
        few_.RunUpdate(&seconds[0]);
        many_.RunUpdate(&seconds[1]);
        if (i == 0) seconds = {};
      }
      const double few = Median(seconds[0]);
      const double many = Median(seconds[1]);
      const double more = static_cast<double>(many_.parameters() - few_.parameters());
      UpdateSeconds result;
      result.per_parameter = std::max(0.0, many - few) / more;
      result.fixed =
          std::max(0.0, few - result.per_parameter * static_cast<double>(few_.parameters()));
      return result;
    } catch (const std::exception& error) {
      return absl::InternalError(error.what());
    }
  }

 private:
  // By direction.
  struct Samples {
    std::array<std::vector<double>, 2> few;
    std::array<std::vector<double>, 2> many;
  };

  static void Split(const std::vector<double>& few, const std::vector<double>& many, double* layer,
                    double* head) {
    const double fewer = Median(few);
    const double more = Median(many);
    *layer = std::max(kLeastShare * fewer, (more - fewer) / (kManyLayers - kFewLayers));
    *head = std::max(kLeastShare * fewer, fewer - kFewLayers * *layer);
  }

  const int64_t vocabulary_;
  const int threads_;
  TimedModel few_;
  TimedModel many_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LayerTimer>> MakeLayerTimer(const JobSpec& spec, int threads) {
  if (spec.model.vocabulary < 1) {
    return absl::InvalidArgumentError("model.vocabulary must be set before layers are timed");
  }
  try {
    return std::make_unique<LayerTimerImpl>(spec, threads);
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

}  // namespace rally
