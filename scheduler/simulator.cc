#include "scheduler/simulator.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/device_program.h"
#include "scheduler/device_shape.h"
#include "scheduler/event_engine.h"
#include "scheduler/phase_costs.h"

namespace rally {
namespace {

// Runs of fewer layers, from which longer ones are extrapolated.
constexpr int64_t kFewerLayers = kSimulatedLayers - 2;

absl::Status Refuse(const std::string& what) { return absl::InvalidArgumentError(what); }

absl::Status CheckPipeline(const SimulationInput& input) {
  const Plan& plan = *input.plan;
  const StageSchedule* schedule = input.schedule;
  const int32_t stages = schedule != nullptr ? schedule->stages : 1;
  if (plan.workers * stages != input.topology.workers ||
      plan.dedicated_servers != input.topology.dedicated_servers) {
    return Refuse(absl::StrCat("a plan of ", plan.workers, " workers and ", plan.dedicated_servers,
                               " dedicated servers in ", stages,
                               " scheduled stages does not fit a topology of ",
                               input.topology.workers, " and ", input.topology.dedicated_servers));
  }
  if (schedule != nullptr) {
    RALLY_RETURN_IF_ERROR(CheckSchedule(*schedule));
    if (plan.stages != 1 || plan.dedicated_servers > 0 ||
        plan.micro_batches.size() != static_cast<size_t>(schedule->micro_batches)) {
      return Refuse(absl::StrCat(
          "a schedule of ", schedule->micro_batches, " micro-batches goes with a plan of as many, ",
          "without stages and dedicated servers; this one has ", plan.micro_batches.size(),
          " micro-batches, ", plan.stages, " stages and ", plan.dedicated_servers, " servers"));
    }
  }
  const int32_t runs = std::max(plan.stages, stages * (schedule ? schedule->model_chunks : 1));
  if (input.model.layers < 1 || input.model.layers % runs != 0) {
    return Refuse(absl::StrCat(input.model.layers, " layers are not a multiple of the ", runs,
                               " runs of layers of the pipeline"));
  }
  return absl::OkStatus();
}

absl::Status CheckDevices(const SimulationInput& input) {
  const ModelShape& model = input.model;
  const int32_t split = input.tensor_parallel;
  if (split < 1 || model.heads % split != 0 || model.feed_forward_size % split != 0) {
    return Refuse(absl::StrCat("tensor parallel ", split, " does not divide ", model.heads,
                               " heads and a feed-forward size of ", model.feed_forward_size));
  }
  const auto ranks = static_cast<size_t>(input.topology.ranks());
  const bool positive = std::all_of(input.speeds.begin(), input.speeds.end(),
                                    [](double speed) { return speed > 0.0; });
  if (!positive || (!input.speeds.empty() && input.speeds.size() != ranks)) {
    return Refuse(
        absl::StrCat(input.speeds.size(), " speeds for ", ranks, " devices; each must be above 0"));
  }
  double before = 0.0;
  for (const ServerFailure& failure : input.failures) {
    if (failure.rank < input.topology.workers || failure.rank >= input.topology.ranks()) {
      return Refuse(absl::StrCat("device ", failure.rank, " fails, which is not one of the ",
                                 input.topology.dedicated_servers, " dedicated servers"));
    }
    if (failure.seconds < before) return Refuse("failures are not in the order of their times");
    before = failure.seconds;
  }
  if (input.failures.size() > 0 &&
      input.failures.size() >= static_cast<size_t>(input.topology.dedicated_servers) &&
      !input.topology.in_place) {
    return Refuse("no server is left when all of the dedicated servers fail");
  }
  return absl::OkStatus();
}

// After no failure, after the first, ...
std::vector<PhaseTable> TablesOf(const SimulationInput& input, const DeviceShape& device) {
  std::vector<PhaseTable> tables = {CostsOfPlan(*input.plan, device, *input.costs)};
  if (input.failures.empty()) return tables;
  std::vector<int32_t> pool;
  for (int32_t rank = 0; rank < input.topology.ranks(); ++rank) {
    if (input.topology.weight(rank) > 0.0) pool.push_back(rank);
  }
  Plan plan = *input.plan;
  for (const ServerFailure& failure : input.failures) {
    pool.erase(std::remove(pool.begin(), pool.end(), failure.rank), pool.end());
    plan = WithoutServer(plan, failure.rank, pool, input.model.mask);
    tables.push_back(CostsOfPlan(plan, device, *input.costs));
  }
  return tables;
}

StepForecast RunLayers(const SimulationInput& input, const DeviceShape& device,
                       const std::vector<PhaseTable>& tables, int64_t layers) {
  const StepProgram program = MakeStepProgram(input, device, layers);
  StepForecast forecast = EventEngine(input, program, tables).Run();
  for (size_t rank = 0; rank < forecast.devices.size(); ++rank) {
    forecast.devices[rank].activation_bytes = program.activation_bytes[rank];
  }
  return forecast;
}

// A wait that the first layers alone have extrapolates to less than none: it is taken off what
// takes longest.
void SettleDeficits(std::array<double, kActivities>* seconds) {
  double deficit = 0.0;
  for (double& of_activity : *seconds) {
    deficit += std::min(0.0, of_activity);
    of_activity = std::max(0.0, of_activity);
  }
  *std::max_element(seconds->begin(), seconds->end()) += deficit;
}

// What `fewer` becomes with `times` as much more as `more` has.
StepForecast Extrapolate(const StepForecast& fewer, const StepForecast& more, double times) {
  const auto along = [times](double from, double to) { return from + times * (to - from); };
  StepForecast result = more;
  result.step_seconds = along(fewer.step_seconds, more.step_seconds);
  for (size_t link = 0; link < result.link_bytes.size(); ++link) {
    result.link_bytes[link] = along(fewer.link_bytes[link], more.link_bytes[link]);
  }
  for (size_t rank = 0; rank < result.devices.size(); ++rank) {
    for (size_t a = 0; a < kActivities; ++a) {
      result.devices[rank].seconds[a] =
          along(fewer.devices[rank].seconds[a], more.devices[rank].seconds[a]);
    }
    SettleDeficits(&result.devices[rank].seconds);
  }
  return result;
}

// Others' key and value rows: ping's and pong's requests are there at once.
void AddKeyValues(const PhaseTable& table, int32_t plan_ranks, StepForecast* forecast) {
  for (const auto& phases : table) {
    for (size_t rank = 0; rank < forecast->devices.size(); ++rank) {
      const size_t part = rank % static_cast<size_t>(plan_ranks);  // A stage's ranks, or all.
      double bytes = 0.0;
      for (const PhaseCosts& phase : phases) bytes += phase.parts[part].key_value_bytes;
      double& peak = forecast->devices[rank].key_value_bytes;
      peak = std::max(peak, bytes);
    }
  }
}

}  // namespace

double ForwardFlops(const ModelShape& model, absl::Span<const Document> documents) {
  double pairs = 0.0;
  double tokens = 0.0;
  for (const Document& document : documents) {
    tokens += static_cast<double>(document.tokens);
    pairs += static_cast<double>(AllowedPairs(0, document.tokens, 0, document.tokens, model.mask));
  }
  const double weights = static_cast<double>(model.layers * LayerParameterCount(model) +
                                             model.hidden_size * model.vocabulary);
  return 2.0 * weights * tokens +
         pairs * ForwardFlopsPerPair(model) * static_cast<double>(model.layers);
}

absl::StatusOr<StepForecast> Simulate(const SimulationInput& input) {
  RALLY_RETURN_IF_ERROR(CheckPipeline(input));
  RALLY_RETURN_IF_ERROR(CheckDevices(input));
  const DeviceShape device(input.model, input.tensor_parallel, input.costs);
  const std::vector<PhaseTable> tables = TablesOf(input, device);
  const int64_t layers =
      input.model.layers / (input.schedule != nullptr
                                ? input.schedule->stages * input.schedule->model_chunks
                                : input.plan->stages);
  StepForecast forecast;
  if (layers <= kSimulatedLayers + kFewerLayers || input.timeline || !input.failures.empty()) {
    forecast = RunLayers(input, device, tables, layers);
  } else {
    forecast = Extrapolate(RunLayers(input, device, tables, kFewerLayers),
                           RunLayers(input, device, tables, kSimulatedLayers),
                           static_cast<double>(layers - kFewerLayers) /
                               static_cast<double>(kSimulatedLayers - kFewerLayers));
  }
  AddKeyValues(tables[0], input.plan->ranks(), &forecast);
  const double seconds = forecast.step_seconds;
  if (seconds <= 0.0) return forecast;
  forecast.tokens_per_second = static_cast<double>(TokenCount(*input.plan)) / seconds;
  const double times = input.plan->kind == PlanKind::kTrain ? 3.0 : 1.0;
  forecast.model_flops = times * ForwardFlops(input.model, input.plan->documents);
  if (input.peak_flops > 0.0) {
    const double devices = static_cast<double>(forecast.devices.size()) * input.tensor_parallel;
    forecast.flop_utilisation = forecast.model_flops / (seconds * devices * input.peak_flops);
  }
  return forecast;
}

}  // namespace rally
