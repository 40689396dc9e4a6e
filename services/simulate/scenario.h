// Scenario: the YAML text form of what `rally simulate` compares (docs/simulate.md).
//
// Plain data. Reading is the only I/O: the scenario, its profile and its quantile files, whose
// paths are relative to the scenario's folder.
#ifndef RALLY_SERVICES_SIMULATE_SCENARIO_H_
#define RALLY_SERVICES_SIMULATE_SCENARIO_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "scheduler/cost_model.h"
#include "scheduler/length_distribution.h"
#include "scheduler/model_shape.h"
#include "scheduler/planner.h"
#include "scheduler/training_setup.h"

namespace rally {

// A parallel degree: one value, several that are each shown, or the best of several.
struct Degree {
  std::vector<int64_t> values;  // Empty with `best`: all that could fit.
  bool best = false;
};

// How a planner is used.
struct PlannerSetup {
  PlannerKind kind = PlannerKind::kRally;
  PlannerOptions options;
  bool ping_pong = true;
  bool defer = false;
  Degree context_parallel = {{0}};
  // Instead of the run's.
  bool has_pipeline = false;
  Degree pipeline;
  bool has_chunk_tokens = false;
  Degree chunk_tokens;
};

// A block of the file's `runs`: every combination of its lists.
struct ScenarioRun {
  std::string setting;
  std::vector<std::string> models;
  std::vector<std::string> distributions;
  std::vector<std::string> planners;
  std::vector<int64_t> contexts;
  std::vector<int64_t> gpus;
  std::vector<int64_t> batch;  // Documents of the context's length in a step; one, or one per gpus.
  Degree tensor = {{1}};
  Degree pipeline = {{1}};
  Degree dedicated = {{0}};
  Degree chunk_tokens;  // Neither values nor best: a step's tokens in one micro-batch.
  int32_t batches = 3;  // Steps simulated.
  Disturbances disturbances;
};

struct Scenario {
  std::optional<CostModel> costs;  // Set by ReadScenario.
  int32_t gpus_per_node = 8;
  double peak_flops = 0.0;
  double memory_bytes = 0.0;
  int32_t batches = 3;
  int64_t seed = 1;
  std::string baseline;  // A planner's name, or empty.
  std::map<std::string, ModelShape> models;
  std::map<std::string, LengthDistribution> distributions;
  std::map<std::string, PlannerSetup> planners;
  std::vector<std::string> planner_order;  // Names as the file has them.
  std::vector<ScenarioRun> runs;
};

// InvalidArgument reads "FILE:LINE: field: what is wrong and what is accepted"; NotFound when a
// file cannot be read.
absl::StatusOr<Scenario> ReadScenario(const std::string& path);

}  // namespace rally

#endif  // RALLY_SERVICES_SIMULATE_SCENARIO_H_
