#include "scheduler/training_setup.h"

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/batch_sampler.h"
#include "scheduler/device_shape.h"
#include "scheduler/document_deferral.h"
#include "scheduler/greedy_balancer.h"
#include "scheduler/pipeline_plan.h"
#include "scheduler/shard_index.h"
#include "scheduler/tick_balance.h"

namespace rally {
namespace {

BatchShape ShapeOf(const TrainingSetup& setup) {
  return {setup.chunk_tokens, setup.batch_tokens / setup.chunk_tokens, setup.context};
}

// Of all stages, or of one alone.
Topology TopologyOf(const TrainingSetup& setup, bool all_stages) {
  Topology topology;
  topology.workers = all_stages ? setup.workers() : setup.replicas();
  topology.dedicated_servers = setup.dedicated;
  topology.in_place = HasPool(setup.planner) && setup.in_place;
  topology.ranks_per_node = std::max(1, setup.gpus_per_node / setup.tensor);
  return topology;
}

absl::StatusOr<std::vector<GlobalBatch>> SampleBatches(const TrainingSetup& setup,
                                                       absl::Span<const int64_t> lengths,
                                                       int batches) {
  std::vector<int64_t> sources(lengths.size());
  std::iota(sources.begin(), sources.end(), 0);
  BatchSampler sampler(lengths, sources, ShapeOf(setup), /*seed=*/1, /*shuffle=*/false);
  std::vector<GlobalBatch> result;
  DataPosition position;
  for (int i = 0; i < batches; ++i) {
    RALLY_ASSIGN_OR_RETURN(GlobalBatch batch, sampler.Sample(position));
    result.push_back(std::move(batch));
    position = result.back().next_position;
  }
  return result;
}

// Batches after a long document has waited, as many again as before.
std::vector<GlobalBatch> Defer(const TrainingSetup& setup, std::vector<GlobalBatch> batches) {
  const int64_t sharing = std::max<int64_t>(setup.options.context_parallel, 1);
  const int64_t groups = std::max<int64_t>(1, ShapeOf(setup).chunks / sharing);
  batches = DeferLongDocuments(batches, {{setup.context / 4, setup.context / 2}, groups}).batches;
  batches.erase(batches.begin(), batches.begin() + static_cast<std::ptrdiff_t>(batches.size() / 2));
  return batches;
}

double TrainingFlops(const ModelShape& model, absl::Span<const GlobalBatch> batches) {
  double flops = 0.0;
  for (const GlobalBatch& batch : batches) {
    for (const std::vector<Document>& group : batch.groups) flops += 3 * ForwardFlops(model, group);
  }
  return flops;
}

absl::Status Balance(const TrainingSetup& setup, const CostModel& costs, Plan* plan) {
  const Topology topology = TopologyOf(setup, /*all_stages=*/true);
  if (setup.planner != PlannerKind::kGreedy) {
    const DeviceShape device(setup.model, setup.tensor, &costs);
    return BalanceTicks(topology, device.slice(), setup.options, &costs, plan);
  }
  for (MicroBatch& tick : plan->micro_batches) {
    const ShardIndex index(tick);
    for (int nano = 0; nano < kNanoBatches; ++nano) {
      tick.tasks[nano] =
          GreedyBalancer(index, nano, topology, setup.model, setup.options.tolerance).Run();
    }
  }
  return absl::OkStatus();
}

absl::StatusOr<Plan> PlanStep(const TrainingSetup& setup, const CostModel& costs,
                              const GlobalBatch& batch) {
  PlanInput input;
  input.batch = &batch;
  input.shape = ShapeOf(setup);
  input.model = DeviceShape(setup.model, setup.tensor, &costs).slice();
  input.ping_pong = setup.ping_pong;
  input.costs = &costs;
  input.topology = TopologyOf(setup, /*all_stages=*/false);
  PlannerOptions options = setup.options;
  options.element_bytes = costs.element_bytes();
  RALLY_ASSIGN_OR_RETURN(PlannedBatch planned,
                         MakePlanner(setup.planner, options)->MakePlan(input));
  if (setup.pipeline == 1 || !HasPool(setup.planner)) return std::move(planned.plan);
  RALLY_ASSIGN_OR_RETURN(const StageSchedule schedule,
                         MakeSchedule(ScheduleKind::kPhaseAligned, setup.pipeline,
                                      static_cast<int32_t>(planned.plan.micro_batches.size())));
  RALLY_ASSIGN_OR_RETURN(Plan laid, LayOverTicks(planned.plan, schedule));
  RALLY_RETURN_IF_ERROR(Balance(setup, costs, &laid));
  return laid;
}

absl::StatusOr<StepForecast> ForecastStep(const TrainingSetup& setup, const CostModel& costs,
                                          const GlobalBatch& batch,
                                          const Disturbances& disturbances, bool timeline) {
  RALLY_ASSIGN_OR_RETURN(const Plan plan, PlanStep(setup, costs, batch));
  SimulationInput input;
  StageSchedule schedule;
  if (setup.pipeline > 1 && plan.stages == 1) {
    RALLY_ASSIGN_OR_RETURN(schedule,
                           MakeSchedule(ScheduleKind::kOneForwardOneBackward, setup.pipeline,
                                        static_cast<int32_t>(plan.micro_batches.size())));
    input.schedule = &schedule;
  }
  input.plan = &plan;
  input.topology = TopologyOf(setup, /*all_stages=*/true);
  input.model = setup.model;
  input.costs = &costs;
  input.tensor_parallel = setup.tensor;
  input.peak_flops = setup.peak_flops;
  if (!disturbances.speeds.empty()) input.speeds.resize(static_cast<size_t>(setup.devices()), 1.0);
  for (const auto& [device, speed] : disturbances.speeds) {
    if (device < 0 || device >= setup.devices()) {
      return absl::InvalidArgumentError(
          absl::StrCat("speeds: device ", device, " is none of ", setup.devices()));
    }
    input.speeds[static_cast<size_t>(device)] = speed;
  }
  input.failures = disturbances.failures;
  input.detection_seconds = disturbances.detection_seconds;
  input.timeline = timeline;
  return Simulate(input);
}

void AddStep(const StepForecast& step, SetupForecast* sum) {
  sum->step_seconds += step.step_seconds;
  sum->model_flops += step.model_flops;
  sum->tokens_per_second += step.tokens_per_second * step.step_seconds;  // Tokens so far.
  sum->flop_utilisation += step.flop_utilisation * step.step_seconds;
  for (size_t a = 0; a < kActivities; ++a) {
    sum->shares[a] += step.Share(static_cast<Activity>(a)) * step.step_seconds;
  }
  for (size_t link = 0; link < kLinkClasses; ++link) {
    sum->link_bytes[link] += step.link_bytes[link] / static_cast<double>(step.devices.size());
  }
  for (const DeviceForecast& device : step.devices) {
    sum->activation_bytes = std::max(sum->activation_bytes, device.activation_bytes);
    sum->key_value_bytes = std::max(sum->key_value_bytes, device.key_value_bytes);
  }
}

// From sums over `steps` to means.
void Average(int steps, SetupForecast* forecast) {
  const double seconds = forecast->step_seconds;
  forecast->tokens_per_second /= seconds;
  forecast->flop_utilisation /= seconds;
  for (double& share : forecast->shares) share /= seconds;
  for (double& bytes : forecast->link_bytes) bytes /= steps;
  forecast->model_flops /= steps;
  forecast->step_seconds = seconds / steps;
}

}  // namespace

bool HasPool(PlannerKind planner) {
  return planner == PlannerKind::kRally || planner == PlannerKind::kArrival ||
         planner == PlannerKind::kGreedy;
}

double WeightBytes(const TrainingSetup& setup) {
  const DeviceShape device(setup.model, setup.tensor, nullptr);
  const double parameters =
      static_cast<double>(device.LayerParameters(setup.model.layers / setup.pipeline)) +
      static_cast<double>(device.OuterParameters()) / (setup.pipeline > 1 ? 2.0 : 1.0);
  constexpr double kWeightAndGradient = 2.0 + 4.0;
  constexpr double kOptimizer = 3 * 4.0;
  return parameters * (kWeightAndGradient + kOptimizer / setup.replicas());
}

absl::Status CheckSetup(const TrainingSetup& setup) {
  const auto refuse = [](auto&&... what) {
    return absl::InvalidArgumentError(absl::StrCat(what...));
  };
  if (setup.tensor < 1 || setup.gpus < 1 || setup.gpus % setup.tensor != 0) {
    return refuse("tensor: ", setup.tensor, " does not divide ", setup.gpus, " gpus");
  }
  if (setup.gpus_per_node % setup.tensor != 0) {
    return refuse("tensor: ", setup.tensor, " does not divide the ", setup.gpus_per_node,
                  " gpus of a node");
  }
  if (setup.dedicated < 0 || setup.dedicated >= setup.devices()) {
    return refuse("dedicated: ", setup.dedicated, " is not in [0, ", setup.devices() - 1, "]");
  }
  if (setup.dedicated > 0 && !HasPool(setup.planner)) {
    return refuse("dedicated: planner ", PlannerName(setup.planner), " has no use for servers");
  }
  if (setup.pipeline < 1 || setup.workers() % setup.pipeline != 0) {
    return refuse("pipeline: ", setup.pipeline, " does not divide ", setup.workers(), " workers");
  }
  if (setup.model.layers % setup.pipeline != 0) {
    return refuse("pipeline: ", setup.pipeline, " does not divide ", setup.model.layers, " layers");
  }
  const int64_t at_once = setup.chunk_tokens * setup.replicas();
  if (setup.chunk_tokens < 1 || setup.batch_tokens % at_once != 0) {
    return refuse("batch: ", setup.batch_tokens, " tokens are not a multiple of ", setup.replicas(),
                  " replicas of ", setup.chunk_tokens, " tokens");
  }
  const BatchShape shape = ShapeOf(setup);
  if (shape.chunks % shape.chunks_per_group() != 0 ||
      setup.replicas() % shape.chunks_per_group() != 0) {
    return refuse("context: a document of ", setup.context, " tokens spans ",
                  shape.chunks_per_group(), " chunks, which do not divide ", setup.replicas(),
                  " replicas");
  }
  return absl::OkStatus();
}

absl::StatusOr<SetupForecast> ForecastSetup(const TrainingSetup& setup, const CostModel& costs,
                                            absl::Span<const int64_t> lengths, int batches,
                                            const Disturbances& disturbances, bool timeline) {
  RALLY_RETURN_IF_ERROR(CheckSetup(setup));
  SetupForecast forecast;
  RALLY_ASSIGN_OR_RETURN(const std::vector<GlobalBatch> arriving,
                         SampleBatches(setup, lengths, setup.defer ? 2 * batches : batches));
  const std::vector<GlobalBatch> leaving = setup.defer ? Defer(setup, arriving) : arriving;
  for (const GlobalBatch& batch : leaving) {
    RALLY_ASSIGN_OR_RETURN(StepForecast step,
                           ForecastStep(setup, costs, batch, disturbances, timeline));
    AddStep(step, &forecast);
    forecast.memory_bytes =
        WeightBytes(setup) + forecast.activation_bytes + forecast.key_value_bytes;
    if (setup.memory_bytes > 0.0 && forecast.memory_bytes > setup.memory_bytes) {
      return absl::ResourceExhaustedError(absl::StrCat(
          "needs ", forecast.memory_bytes / 1e9, " GB of a GPU's ", setup.memory_bytes / 1e9));
    }
    forecast.last = std::move(step);
  }
  Average(static_cast<int>(leaving.size()), &forecast);
  if (setup.defer) {
    const double flops =
        TrainingFlops(setup.model, arriving) / static_cast<double>(arriving.size());
    forecast.step_seconds *= flops / forecast.model_flops;
  }
  return forecast;
}

}  // namespace rally
