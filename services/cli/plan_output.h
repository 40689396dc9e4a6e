// What `rally plan` prints of any plan, be it a case's or a job's.
//
// Pure functions but for WritePicture and ReadCosts, any thread.
#ifndef RALLY_SERVICES_CLI_PLAN_OUTPUT_H_
#define RALLY_SERVICES_CLI_PLAN_OUTPUT_H_

#include <memory>
#include <optional>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <nlohmann/json.hpp>

#include "scheduler/cost_model.h"
#include "scheduler/step_forecast.h"
#include "services/cli/plan_command.h"
#include "services/planning/planning_run.h"

namespace rally {

// The planner that the flags ask for, else `otherwise`. InvalidArgument names the flag.
absl::StatusOr<PlannerKind> PlannerOf(const PlanOptions& options, PlannerKind otherwise);

// InvalidArgument names the flag.
absl::StatusOr<PlanningEffort> EffortOf(const PlanOptions& options);

// The profile of --profile, null without.
absl::StatusOr<std::unique_ptr<const CostModel>> ReadCosts(const PlanOptions& options);

// Sets "homes", arrays of [document, begin, end, worker], and "tasks", arrays of [document,
// q_begin, q_end, kv_begin, kv_end, server]; documents by their place in the batch. With `phases`
// micro-batch and nano-batch stand behind them.
void SetHomesAndTasks(const Plan& plan, const GlobalBatch& batch, bool phases,
                      nlohmann::ordered_json* json);

// The simulator's word on a training step of the plan; none without costs.
absl::StatusOr<std::optional<StepForecast>> Forecast(const PlanningRun& run,
                                                     const PlanInput& input);
nlohmann::ordered_json ForecastJson(const StepForecast& forecast);
// A line: the step's time and what the ranks do with it.
std::string ForecastText(const StepForecast& forecast);

absl::Status WritePicture(const std::string& path, const PlanningRun& run, const PlanInput& input,
                          double tolerance, absl::string_view title);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_PLAN_OUTPUT_H_
