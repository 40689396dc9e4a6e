// LayerTime: a first estimate of what one layer of a plan takes, by the cost model.
//
// Every phase lasts as long as its busiest rank, and phases follow each other. With ping-pong one
// nano-batch's rows travel while the other computes, so a phase takes the longer of its computing
// and its transfers; else their sum. Contention of links and what overlaps across layers are the
// simulator's.
//
// Pure, any thread.
#ifndef RALLY_SCHEDULER_LAYER_TIME_H_
#define RALLY_SCHEDULER_LAYER_TIME_H_

#include "scheduler/cost_model.h"
#include "scheduler/model_shape.h"
#include "scheduler/phase.h"
#include "scheduler/plan.h"
#include "scheduler/topology.h"

namespace rally {

// Seconds, summed over the plan's phases, each of the rank that takes longest.
struct LayerTime {
  double linear = 0.0;     // Everything but core attention, on the workers.
  double attention = 0.0;  // CA-tasks, packing and merging.
  double transfer = 0.0;   // Messages between ranks, in or out.
  double total = 0.0;      // The layer.
};

LayerTime PredictLayer(const Plan& plan, const Topology& topology, const ModelShape& model,
                       const CostModel& costs, Direction direction);

}  // namespace rally

#endif  // RALLY_SCHEDULER_LAYER_TIME_H_
