// LayerTimer: how long this machine takes for what a training step does beside core attention.
//
// It runs the real layers, head, loss and optimizer over made-up tokens; core attention costs
// nothing. LibTorch stays behind this header. Threads: one caller at a time, always the same
// thread.
#ifndef RALLY_WORKERS_MODEL_LAYER_TIMER_H_
#define RALLY_WORKERS_MODEL_LAYER_TIMER_H_

#include <cstdint>
#include <memory>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "scheduler/job_spec.h"

namespace rally {

// Seconds of one nano-batch.
struct LayerSeconds {
  double layer_forward = 0.0;  // One layer without core attention.
  double layer_backward = 0.0;
  double head_forward = 0.0;  // Embedding, last norm, output head and loss.
  double head_backward = 0.0;
};

// Seconds of changing the weights once: clearing gradients, their norm, AdamW, the copy in the
// compute type.
struct UpdateSeconds {
  double fixed = 0.0;
  double per_parameter = 0.0;
};

class LayerTimer {
 public:
  virtual ~LayerTimer() = default;

  // For nano-batches of these token counts, in turn, so that all see the same of what else the
  // machine does; medians of `repeats` runs. Errors are LibTorch's, Internal.
  virtual absl::StatusOr<std::vector<LayerSeconds>> MeasureLayers(absl::Span<const int64_t> tokens,
                                                                  int repeats) = 0;
  virtual absl::StatusOr<UpdateSeconds> MeasureUpdate(int repeats) = 0;
};

// For the spec's model, of which vocabulary must be set, and its compute type. threads >= 1.
absl::StatusOr<std::unique_ptr<LayerTimer>> MakeLayerTimer(const JobSpec& spec, int threads);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_LAYER_TIMER_H_
