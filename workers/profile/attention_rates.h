// Attention rates: the kernel's allowed pairs per second over a grid of task shapes.
//
// One caller at a time per kernel.
#ifndef RALLY_WORKERS_PROFILE_ATTENTION_RATES_H_
#define RALLY_WORKERS_PROFILE_ATTENTION_RATES_H_

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>

#include "scheduler/model_shape.h"
#include "scheduler/phase.h"
#include "scheduler/rate_grid.h"
#include "workers/attention/attention_kernel.h"
#include "workers/profile/repeated_timing.h"

namespace rally {

struct AttentionGrid {
  std::vector<int64_t> query_rows;  // Of one task; each at least 1.
  std::vector<int64_t> mean_keys;   // Allowed keys of a row, in the mean; each at least 1.
};

// Every query_rows with every mean_keys, for the model's heads, rows of `element` and a causal
// mask. A call computes several tasks of a shape, as a phase does: the last rows of a document
// where it has that many keys, else rows that see all of them.
absl::StatusOr<RateGrid::Points> MeasureAttentionRates(
    const ModelShape& model, AttentionElement element, Direction direction,
    const AttentionGrid& grid, const TimingEffort& effort, AttentionKernel* kernel);

}  // namespace rally

#endif  // RALLY_WORKERS_PROFILE_ATTENTION_RATES_H_
