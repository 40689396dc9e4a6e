#include <omp.h>

#include <cmath>
#include <random>

#include <gtest/gtest.h>

#include "workers/model/adamw.h"

namespace rally {
namespace {

ModelShape SmallShape() {
  ModelShape shape;
  shape.layers = 1;
  shape.hidden_size = 8;
  shape.feed_forward_size = 12;
  shape.heads = 2;
  shape.kv_heads = 1;
  shape.head_dim = 32;
  shape.vocabulary = 5;
  return shape;
}

TEST(LearningRate, WarmsUpThenFollowsACosine) {
  OptimizerSpec spec;
  spec.learning_rate = 1.0;
  spec.min_learning_rate = 0.1;
  spec.warmup_steps = 10;
  EXPECT_DOUBLE_EQ(LearningRateAt(spec, 110, 1), 0.1);
  EXPECT_DOUBLE_EQ(LearningRateAt(spec, 110, 5), 0.5);
  EXPECT_DOUBLE_EQ(LearningRateAt(spec, 110, 10), 1.0);
  EXPECT_NEAR(LearningRateAt(spec, 110, 60), 0.55, 1e-12);
  EXPECT_NEAR(LearningRateAt(spec, 110, 110), 0.1, 1e-12);
}

TEST(LearningRate, NeedsNoWarmUp) {
  OptimizerSpec spec;
  spec.warmup_steps = 0;
  EXPECT_GT(LearningRateAt(spec, 10, 1), LearningRateAt(spec, 10, 2));
  EXPECT_NEAR(LearningRateAt(spec, 10, 10), spec.min_learning_rate, 1e-15);
  // A warm-up longer than the job never reaches the cosine.
  spec.warmup_steps = 100;
  EXPECT_DOUBLE_EQ(LearningRateAt(spec, 10, 10), spec.learning_rate * 0.1);
}

TEST(Clipping, ScalesDownOnly) {
  EXPECT_DOUBLE_EQ(ClippingScale(4.0, 1.0), 0.25);
  EXPECT_DOUBLE_EQ(ClippingScale(0.5, 1.0), 1.0);
  EXPECT_DOUBLE_EQ(ClippingScale(4.0, 0.0), 1.0);
}

TEST(EuclideanNorm, SumsInDouble) {
  const std::vector<float> values(10001, 3.0f);
  EXPECT_DOUBLE_EQ(EuclideanNorm(values), 3.0 * std::sqrt(10001.0));
  EXPECT_EQ(EuclideanNorm({}), 0.0);
}

TEST(AdamW, MatchesTheFormulaInDouble) {
  const WeightLayout layout = LayOutWeights(SmallShape());
  OptimizerSpec spec;
  AdamW optimizer(spec, &layout);
  std::mt19937_64 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> values(layout.elements, 0.0f);
  InitializeWeights(layout, 1, absl::MakeSpan(values));
  std::vector<double> w(values.begin(), values.end()), m(layout.elements), v(layout.elements);
  for (int64_t step = 1; step <= 50; ++step) {
    std::vector<float> gradients(layout.elements, 0.0f);
    for (float& gradient : gradients) gradient = 0.1f * normal(random);
    const double rate = LearningRateAt(spec, 50, step);
    optimizer.Step(step, rate, 0.5, gradients, absl::MakeSpan(values));
    for (const WeightInfo& weight : layout.weights) {
      const double decay = weight.shape.size() == 2 ? spec.weight_decay : 0.0;
      for (int64_t i = weight.offset; i < weight.offset + weight.elements; ++i) {
        const double g = 0.5 * static_cast<double>(gradients[i]);
        m[i] = spec.beta1 * m[i] + (1 - spec.beta1) * g;
        v[i] = spec.beta2 * v[i] + (1 - spec.beta2) * g * g;
        const double m_hat = m[i] / (1 - std::pow(spec.beta1, step));
        const double v_hat = v[i] / (1 - std::pow(spec.beta2, step));
        w[i] -= rate * (m_hat / (std::sqrt(v_hat) + spec.epsilon) + decay * w[i]);
      }
    }
  }
  // 50 updates of at most ~1e-3 each, every one rounded to float32 a few times.
  for (const WeightInfo& weight : layout.weights) {
    for (int64_t i = weight.offset; i < weight.offset + weight.elements; ++i) {
      ASSERT_NEAR(values[i], w[i], 50 * 1e-3 * 1e-5 + 50 * 6e-8 * std::abs(w[i])) << weight.name;
    }
  }
}

TEST(AdamW, HasTheSameBitsForAnyNumberOfThreads) {
  ModelShape shape = SmallShape();
  shape.vocabulary = 100003;  // Arrays of several blocks, and a part of one.
  const WeightLayout layout = LayOutWeights(shape);
  std::vector<float> gradients(layout.elements);
  InitializeWeights(layout, 2, absl::MakeSpan(gradients));
  const auto run = [&](int threads) {
    omp_set_num_threads(threads);
    AdamW optimizer({}, &layout);
    std::vector<float> values(layout.elements, 0.0f);
    for (int64_t step = 1; step <= 2; ++step) {
      const double scale = 1.0 / EuclideanNorm(gradients);
      optimizer.Step(step, 1e-3, scale, gradients, absl::MakeSpan(values));
    }
    return values;
  };
  const int threads = omp_get_max_threads();
  const std::vector<float> one = run(1);
  for (const int more : {2, 3, 7}) EXPECT_EQ(run(more), one) << more;
  omp_set_num_threads(threads);
}

TEST(WeightLayout, CountsWhatTheShapeCounts) {
  for (const bool tied : {false, true}) {
    ModelShape shape = SmallShape();
    shape.tie_embeddings = tied;
    int64_t elements = 0;
    for (const WeightInfo& weight : LayOutWeights(shape).weights) {
      elements += weight.elements;
      EXPECT_EQ(weight.offset % 16, 0) << weight.name;
    }
    EXPECT_EQ(elements, ParameterCount(shape));
  }
}

TEST(WeightLayout, InitialisesByTheSeed) {
  ModelShape shape = SmallShape();
  shape.layers = 8;
  shape.hidden_size = 64;
  const WeightLayout layout = LayOutWeights(shape);
  std::vector<float> a(layout.elements), b(layout.elements), c(layout.elements);
  InitializeWeights(layout, 1, absl::MakeSpan(a));
  InitializeWeights(layout, 1, absl::MakeSpan(b));
  InitializeWeights(layout, 2, absl::MakeSpan(c));
  EXPECT_EQ(a, b);
  EXPECT_NE(a, c);
  const auto deviation = [&](const std::string& name) {
    const WeightInfo& weight = layout.Find(name);
    return EuclideanNorm(absl::MakeSpan(a).subspan(weight.offset, weight.elements)) /
           std::sqrt(static_cast<double>(weight.elements));
  };
  // 4096 draws and more: the deviation's own error is below 1.2 %; five of those.
  EXPECT_NEAR(deviation(LayerWeightName(0, "self_attn.q_proj")), 0.02, 0.02 * 0.06);
  EXPECT_NEAR(deviation(LayerWeightName(3, "self_attn.o_proj")), 0.005, 0.005 * 0.06);
  EXPECT_EQ(deviation(LayerWeightName(3, "input_layernorm")), 1.0);
}

}  // namespace
}  // namespace rally
