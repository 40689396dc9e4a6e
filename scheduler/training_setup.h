// TrainingSetup: a model, a cluster and a way to use it, as something to forecast.
//
// Plain data and pure functions; any thread.
#ifndef RALLY_SCHEDULER_TRAINING_SETUP_H_
#define RALLY_SCHEDULER_TRAINING_SETUP_H_

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "scheduler/cost_model.h"
#include "scheduler/model_shape.h"
#include "scheduler/planner.h"
#include "scheduler/simulator.h"
#include "scheduler/step_forecast.h"

namespace rally {

struct TrainingSetup {
  ModelShape model;
  // Cluster.
  int32_t gpus = 1;
  int32_t gpus_per_node = 8;
  double peak_flops = 0.0;    // Of a GPU, per second; 0: not known.
  double memory_bytes = 0.0;  // Of a GPU; 0: no limit.
  // Parallel degrees: gpus = tensor * (pipeline * replicas + dedicated).
  int32_t tensor = 1;
  int32_t pipeline = 1;
  int32_t dedicated = 0;
  // Batch.
  int64_t context = 0;       // Longest document, tokens.
  int64_t batch_tokens = 0;  // Of a step.
  int64_t chunk_tokens = 0;  // Of a worker in a micro-batch.
  // Planner. Those with a pool run pipelines in phase-aligned ticks that share it; the others 1F1B.
  PlannerKind planner = PlannerKind::kRally;
  PlannerOptions options;
  bool ping_pong = true;
  bool in_place = true;  // Workers serve, where the planner has a pool.
  bool defer = false;    // Long documents, document_deferral.h; variable_length and hybrid.

  int32_t devices() const { return gpus / tensor; }
  int32_t workers() const { return devices() - dedicated; }
  int32_t replicas() const { return workers() / pipeline; }
};

// What is asked of the simulator beside the plan.
struct Disturbances {
  std::map<int32_t, double> speeds;     // Of devices that are not as fast as the cost model says.
  std::vector<ServerFailure> failures;  // In the order of their times.
  double detection_seconds = 1.0;
};

struct SetupForecast {
  // Mean over the batches. Deferral moves work to later batches: with it, what the batches that
  // came in would take at the speed of those that went out.
  double step_seconds = 0.0;
  double model_flops = 0.0;  // Of a step, mean.
  double tokens_per_second = 0.0;
  double flop_utilisation = 0.0;
  std::array<double, kActivities> shares = {};       // Of the mean step, mean over devices.
  std::array<double, kLinkClasses> link_bytes = {};  // Of a GPU in a step, mean.
  double activation_bytes = 0.0;                     // Largest device, largest batch.
  double key_value_bytes = 0.0;
  double memory_bytes = 0.0;  // All that a GPU holds, largest.
  StepForecast last;          // The last batch's; with its timeline if asked for.
};

// Whether the planner gives workers' tasks to each other and to servers.
bool HasPool(PlannerKind planner);

// Weights, gradients and optimizer of a GPU: bfloat16, float32, and three float32 that are split
// over the replicas.
double WeightBytes(const TrainingSetup& setup);

// InvalidArgument names the degree that does not fit, in the words of a scenario file.
absl::Status CheckSetup(const TrainingSetup& setup);

// Plans and simulates `batches` steps over documents of these lengths, in order. ResourceExhausted
// when a GPU would hold more than its memory.
absl::StatusOr<SetupForecast> ForecastSetup(const TrainingSetup& setup, const CostModel& costs,
                                            absl::Span<const int64_t> lengths, int batches,
                                            const Disturbances& disturbances = {},
                                            bool timeline = false);

}  // namespace rally

#endif  // RALLY_SCHEDULER_TRAINING_SETUP_H_
