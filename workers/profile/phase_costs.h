// Phase costs: what a rank does in one phase beside the kernel and the wire.
//
// A home packs requests and merges replies, a server assembles and takes apart; the fixed part is
// what a phase of few rows takes. Measured with the real server and home routines on one rank that
// serves itself. One caller at a time per kernel.
#ifndef RALLY_WORKERS_PROFILE_PHASE_COSTS_H_
#define RALLY_WORKERS_PROFILE_PHASE_COSTS_H_

#include <array>

#include <absl/status/statusor.h>

#include "scheduler/model_shape.h"
#include "scheduler/profile.h"
#include "workers/attention/attention_kernel.h"

namespace rally {

// By direction; medians of `repeats` phases.
absl::StatusOr<std::array<Profile::Cost, kDirections>> MeasurePhaseCosts(const ModelShape& model,
                                                                         AttentionElement element,
                                                                         int repeats,
                                                                         AttentionKernel* kernel);

}  // namespace rally

#endif  // RALLY_WORKERS_PROFILE_PHASE_COSTS_H_
