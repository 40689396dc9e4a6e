#include "workers/model/adamw.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>
#include <numeric>

#include "common/check.h"
#include "workers/model/parallel_for.h"

namespace rally {
namespace {

constexpr int64_t kBlock = 1 << 16;  // Elements that one thread takes at a time.

// Coefficients of one step, rounded to the arithmetic's type once.
struct StepCoefficients {
  float beta1, beta2, rest1, rest2;  // rest = 1 - beta
  float correction1, correction2;    // 1 / (1 - beta^step)
  float epsilon, learning_rate, gradient_scale;
};

StepCoefficients CoefficientsOf(const OptimizerSpec& spec, int64_t step, double learning_rate,
                                double gradient_scale) {
  const double t = static_cast<double>(step);
  StepCoefficients c;
  c.beta1 = static_cast<float>(spec.beta1);
  c.beta2 = static_cast<float>(spec.beta2);
  c.rest1 = static_cast<float>(1.0 - spec.beta1);
  c.rest2 = static_cast<float>(1.0 - spec.beta2);
  c.correction1 = static_cast<float>(1.0 / (1.0 - std::pow(spec.beta1, t)));
  c.correction2 = static_cast<float>(1.0 / (1.0 - std::pow(spec.beta2, t)));
  c.epsilon = static_cast<float>(spec.epsilon);
  c.learning_rate = static_cast<float>(learning_rate);
  c.gradient_scale = static_cast<float>(gradient_scale);
  return c;
}

void UpdateRange(const StepCoefficients& c, float decay, int64_t elements,
                 const float* __restrict gradient, float* __restrict first,
                 float* __restrict second, float* __restrict value) {
  for (int64_t i = 0; i < elements; ++i) {
    const float g = gradient[i] * c.gradient_scale;
    const float m = c.beta1 * first[i] + c.rest1 * g;
    const float v = c.beta2 * second[i] + c.rest2 * g * g;
    const float update = m * c.correction1 / (std::sqrt(v * c.correction2) + c.epsilon);
    first[i] = m;
    second[i] = v;
    value[i] -= c.learning_rate * (update + decay * value[i]);
  }
}

double SumOfSquares(absl::Span<const float> values) {
  // Eight running sums let the additions overlap; their order is fixed all the same.
  constexpr size_t kSums = 8;
  double sums[kSums] = {};
  size_t i = 0;
  for (; i + kSums <= values.size(); i += kSums) {
    for (size_t j = 0; j < kSums; ++j) {
      const double value = values[i + j];
      sums[j] += value * value;
    }
  }
  for (; i < values.size(); ++i) sums[0] += static_cast<double>(values[i]) * values[i];
  return std::accumulate(std::begin(sums), std::end(sums), 0.0);
}

}  // namespace

double LearningRateAt(const OptimizerSpec& spec, int64_t steps, int64_t step) {
  if (step < spec.warmup_steps) {
    return spec.learning_rate * static_cast<double>(step) / static_cast<double>(spec.warmup_steps);
  }
  const double length = static_cast<double>(std::max<int64_t>(1, steps - spec.warmup_steps));
  const double progress =
      std::clamp(static_cast<double>(step - spec.warmup_steps) / length, 0.0, 1.0);
  const double height = 0.5 * (1.0 + std::cos(std::numbers::pi * progress));
  return spec.min_learning_rate + (spec.learning_rate - spec.min_learning_rate) * height;
}

double EuclideanNorm(absl::Span<const float> values) {
  const auto elements = static_cast<int64_t>(values.size());
  std::vector<double> squares(static_cast<size_t>((elements + kBlock - 1) / kBlock));
  ParallelFor(static_cast<int64_t>(squares.size()), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      squares[static_cast<size_t>(block)] =
          SumOfSquares(values.subspan(static_cast<size_t>(block * kBlock), kBlock));
    }
  });
  return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
}

double ClippingScale(double norm, double clip) {
  return clip > 0.0 && norm > clip ? clip / norm : 1.0;
}

AdamW::AdamW(const OptimizerSpec& spec, const WeightLayout* layout)
    : spec_(spec),
      layout_(layout),
      first_moment_(layout->elements, 0.0f),
      second_moment_(layout->elements, 0.0f) {}

void AdamW::Step(int64_t step, double learning_rate, double gradient_scale,
                 absl::Span<const float> gradients, absl::Span<float> values) {
  RALLY_CHECK(gradients.size() == first_moment_.size() && values.size() == first_moment_.size(),
              "arrays of another layout");
  const StepCoefficients c = CoefficientsOf(spec_, step, learning_rate, gradient_scale);
  for (const WeightInfo& weight : layout_->weights) {
    const float decay = weight.is_matrix() ? static_cast<float>(spec_.weight_decay) : 0.0f;
    ParallelFor(weight.elements, kBlock, [&](int64_t begin, int64_t end) {
      const int64_t at = weight.offset + begin;
      UpdateRange(c, decay, end - begin, gradients.data() + at, first_moment_.data() + at,
                  second_moment_.data() + at, values.data() + at);
    });
  }
}

}  // namespace rally
