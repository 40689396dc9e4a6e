// Simulator: how long a training step of a plan would take, on devices and links of a cost model.
//
// Discrete events over one compute resource and, per link class, one sending and one receiving port
// of every device, in the order of operations of the real program: a worker dispatches ping and
// pong in turn, serves what has been dispatched of a layer before it waits for replies; a dedicated
// server serves phase after phase; backward is the mirror of forward. A port carries its messages
// in the order they were sent, at its bandwidth, and is never idle while one is waiting; a message
// arrives when both ports have carried it, and its latency has passed.
//
// A device of the plan is a tensor-parallel group of `tensor_parallel` accelerators of one node,
// with heads, key/value heads, feed-forward and vocabulary split over them; each layer and
// direction has four exposed collectives over its activations (arXiv 2205.05198).
//
// Layers are alike: of a run of many layers a few are simulated, and the rest follows at the rate
// of the last ones (not with failures or a timeline, which have every layer simulated).
//
// Pure and deterministic; any thread.
#ifndef RALLY_SCHEDULER_SIMULATOR_H_
#define RALLY_SCHEDULER_SIMULATOR_H_

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "scheduler/cost_model.h"
#include "scheduler/model_shape.h"
#include "scheduler/pipeline_schedule.h"
#include "scheduler/plan.h"
#include "scheduler/step_forecast.h"
#include "scheduler/topology.h"

namespace rally {

// A dedicated server that dies. What it has not sent by then is computed once more by the other
// servers of the pool, in equal parts, after the detection time; of phases that begin later each
// takes over some of its tasks.
struct ServerFailure {
  int32_t rank = 0;
  double seconds = 0.0;  // After the step's beginning.
};

struct SimulationInput {
  // A checked plan: with stages, run tick after tick; without, by `schedule` if that is given,
  // else micro-batch after micro-batch.
  const Plan* plan = nullptr;
  const StageSchedule* schedule = nullptr;
  // Workers of all stages.
  Topology topology;
  ModelShape model;
  const CostModel* costs = nullptr;
  int32_t tensor_parallel = 1;
  double peak_flops = 0.0;     // Of one accelerator, per second; 0: not known.
  std::vector<double> speeds;  // Of each rank's compute, relative to the cost model; empty: all 1.
  std::vector<ServerFailure> failures;
  double detection_seconds = 1.0;
  bool timeline = false;
};

// Layers of a run that are always simulated one by one.
inline constexpr int64_t kSimulatedLayers = 5;

// FLOP of a forward pass over these documents: two for every weight of a matrix and token, and core
// attention's for every allowed pair. Training takes three times as many.
double ForwardFlops(const ModelShape& model, absl::Span<const Document> documents);

// InvalidArgument when the parts do not fit each other, e.g. layers that the stages do not divide.
absl::StatusOr<StepForecast> Simulate(const SimulationInput& input);

}  // namespace rally

#endif  // RALLY_SCHEDULER_SIMULATOR_H_
