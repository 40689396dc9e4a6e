// AdamW: the optimizer, its learning-rate schedule and the norm that clipping needs.
//
// Works on flat float32 arrays of one WeightLayout. Source: Decoupled Weight Decay Regularization
// (arXiv 1711.05101); decay applies to matrices only. Arithmetic is elementwise in float32, so the
// result does not depend on threads. Threads: one caller at a time; long arrays are shared out
// (parallel_for.h).
#ifndef RALLY_WORKERS_MODEL_ADAMW_H_
#define RALLY_WORKERS_MODEL_ADAMW_H_

#include <cstdint>
#include <vector>

#include <absl/types/span.h>

#include "scheduler/job_spec.h"
#include "workers/model/weight_layout.h"

namespace rally {

// Of training step `step` (the first is 1) of `steps`: linear from 0 to the peak at warmup_steps,
// then half a cosine down to min_learning_rate at the last step.
double LearningRateAt(const OptimizerSpec& spec, int64_t steps, int64_t step);

// Euclidean norm, summed in double in an order that no number of threads changes.
double EuclideanNorm(absl::Span<const float> values);

// What gradients are multiplied with so that their norm is at most `clip`; 1 when clip is 0.
double ClippingScale(double norm, double clip);

class AdamW {
 public:
  // Moments start at zero. `layout` is borrowed.
  AdamW(const OptimizerSpec& spec, const WeightLayout* layout);

  // Applies step `step` (the first is 1) with `gradients` times `gradient_scale`.
  void Step(int64_t step, double learning_rate, double gradient_scale,
            absl::Span<const float> gradients, absl::Span<float> values);

  // Running means of the gradients and of their squares, flat.
  absl::Span<float> first_moment() { return absl::MakeSpan(first_moment_); }
  absl::Span<float> second_moment() { return absl::MakeSpan(second_moment_); }

 private:
  const OptimizerSpec spec_;
  const WeightLayout* const layout_;
  std::vector<float> first_moment_;
  std::vector<float> second_moment_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_ADAMW_H_
