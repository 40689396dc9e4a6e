// PhaseCosts: what one phase costs every rank: messages, seconds at its CA-tasks, seconds at its
// rows; the same in every layer.
//
// Plain data from pure functions; any thread.
#ifndef RALLY_SCHEDULER_PHASE_COSTS_H_
#define RALLY_SCHEDULER_PHASE_COSTS_H_

#include <array>
#include <cstdint>
#include <vector>

#include "scheduler/device_shape.h"
#include "scheduler/plan.h"

namespace rally {

// The messages of one route: a request from home to server and, where it has bytes, a reply back.
struct Exchange {
  int32_t home = 0;
  int32_t server = 0;
  std::array<double, kDirections> request_bytes = {};
  std::array<double, kDirections> reply_bytes = {};
};

struct PhaseCosts {
  // One rank's part.
  struct Part {
    std::vector<int32_t> as_home;  // Indices into `exchanges`.
    std::vector<int32_t> as_server;
    std::array<int32_t, kDirections> replies = {};        // That it gets as home.
    std::array<double, kDirections> pack_seconds = {};    // Of its requests.
    std::array<double, kDirections> attend_seconds = {};  // CA-tasks, and their rows in and out.
    std::array<double, kDirections> merge_seconds = {};   // Of its replies.
    double key_value_bytes = 0.0;  // Of others' rows that it holds for its tasks.
  };

  std::vector<Exchange> exchanges;  // By home, then server.
  std::vector<Part> parts;          // [ranks]
};

PhaseCosts CostsOfPhase(const Plan& plan, int micro_batch, int nano_batch,
                        const DeviceShape& device, const CostModel& costs);

// By micro-batch and nano-batch of a plan.
using PhaseTable = std::vector<std::array<PhaseCosts, kNanoBatches>>;
PhaseTable CostsOfPlan(const Plan& plan, const DeviceShape& device, const CostModel& costs);

// The plan without `server`: each of its tasks goes to the one of `others` that has the least of
// them by then, longest first. Where `others` is empty the plan stays.
Plan WithoutServer(const Plan& plan, int32_t server, const std::vector<int32_t>& others,
                   AttentionMask mask);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PHASE_COSTS_H_
