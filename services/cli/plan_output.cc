#include "services/cli/plan_output.h"

#include <deque>
#include <map>
#include <tuple>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/time.h>

#include "common/atomic_file.h"
#include "common/check.h"
#include "common/status_macros.h"
#include "scheduler/simulator.h"
#include "services/planning/plan_picture.h"
#include "services/profile/profile_file.h"

namespace rally {
namespace {

using Json = nlohmann::ordered_json;

constexpr absl::Duration kLongestSearch = absl::Hours(1);

// The documents' places in the batch, by their index in the plan: planners may order them anew.
std::vector<int64_t> PlacesInBatch(const Plan& plan, const GlobalBatch& batch) {
  // A small dataset can be in a batch twice; equal pieces are taken in order.
  std::map<std::tuple<int64_t, int64_t, int64_t>, std::deque<int64_t>> places_of;
  int64_t next = 0;
  for (const std::vector<Document>& group : batch.groups) {
    for (const Document& document : group) {
      places_of[{document.source, document.source_begin, document.tokens}].push_back(next++);
    }
  }
  std::vector<int64_t> places;
  for (const Document& document : plan.documents) {
    std::deque<int64_t>& equal =
        places_of[{document.source, document.source_begin, document.tokens}];
    RALLY_CHECK(!equal.empty(), "a plan holds the documents of its batch");
    places.push_back(equal.front());
    equal.pop_front();
  }
  return places;
}

}  // namespace

absl::StatusOr<PlannerKind> PlannerOf(const PlanOptions& options, PlannerKind otherwise) {
  if (!options.order.empty() && options.order != "arrival") {
    return absl::InvalidArgumentError(
        absl::StrCat("--order: ", options.order, " is not arrival, the one order to keep"));
  }
  if (!options.order.empty() && !options.planner.empty()) {
    return absl::InvalidArgumentError("--order: stands for --planner arrival; give one of them");
  }
  if (!options.order.empty()) return PlannerKind::kArrival;
  if (options.planner.empty()) return otherwise;
  absl::StatusOr<PlannerKind> kind = ParsePlannerName(options.planner);
  if (!kind.ok()) return Annotate(kind.status(), "--planner");
  return kind;
}

absl::StatusOr<PlanningEffort> EffortOf(const PlanOptions& options) {
  PlanningEffort effort = {.repeats = options.repeats};
  if (options.search.empty()) return effort;
  if (absl::ParseDuration(options.search, &effort.search) && effort.search > absl::ZeroDuration() &&
      effort.search <= kLongestSearch) {
    return effort;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--search: ", options.search, " is not a duration in (0s, ",
                   absl::FormatDuration(kLongestSearch), "], e.g. 100ms"));
}

absl::StatusOr<std::unique_ptr<const CostModel>> ReadCosts(const PlanOptions& options) {
  if (options.profile_path.empty()) return std::unique_ptr<const CostModel>();
  RALLY_ASSIGN_OR_RETURN(CostModel costs, ReadProfileFile(options.profile_path));
  return std::make_unique<const CostModel>(std::move(costs));
}

void SetHomesAndTasks(const Plan& plan, const GlobalBatch& batch, bool phases, Json* json) {
  const std::vector<int64_t> places = PlacesInBatch(plan, batch);
  Json homes = Json::array();
  Json tasks = Json::array();
  const auto add = [phases](Json row, size_t micro_batch, int nano_batch, Json* rows) {
    if (phases) row.insert(row.end(), {micro_batch, nano_batch});
    rows->push_back(std::move(row));
  };
  for (size_t m = 0; m < plan.micro_batches.size(); ++m) {
    const MicroBatch& micro_batch = plan.micro_batches[m];
    for (int n = 0; n < kNanoBatches; ++n) {
      for (size_t worker = 0; worker < micro_batch.chunks.size(); ++worker) {
        for (const DocumentShard& shard : micro_batch.chunks[worker].nano_batches[n]) {
          const int64_t document = places[static_cast<size_t>(shard.document)];
          if (shard.tokens() > 0) add({document, shard.begin, shard.end, worker}, m, n, &homes);
        }
      }
      for (const CaTask& task : micro_batch.tasks[n]) {
        add({places[static_cast<size_t>(task.document)], task.q_begin, task.q_end, task.kv_begin,
             task.kv_end, task.server},
            m, n, &tasks);
      }
    }
  }
  (*json)["homes"] = std::move(homes);
  (*json)["tasks"] = std::move(tasks);
}

absl::StatusOr<std::optional<StepForecast>> Forecast(const PlanningRun& run,
                                                     const PlanInput& input) {
  if (input.costs == nullptr) return std::nullopt;
  SimulationInput simulation;
  simulation.plan = &run.planned.plan;
  simulation.topology = input.topology;
  simulation.model = input.model;
  simulation.costs = input.costs;
  RALLY_ASSIGN_OR_RETURN(StepForecast forecast, Simulate(simulation));
  return forecast;
}

Json ForecastJson(const StepForecast& forecast) {
  Json shares = Json::object();
  for (int i = 0; i < kActivities; ++i) {
    const auto activity = static_cast<Activity>(i);
    shares[std::string(ActivityName(activity))] = forecast.Share(activity);
  }
  return {{"step_seconds", forecast.step_seconds},
          {"tokens_per_second", forecast.tokens_per_second},
          {"shares", shares}};
}

std::string ForecastText(const StepForecast& forecast) {
  std::string text = absl::StrFormat("a step takes %.4g s, %.0f tokens/s:", forecast.step_seconds,
                                     forecast.tokens_per_second);
  for (int i = 0; i < kActivities; ++i) {
    const auto activity = static_cast<Activity>(i);
    const double share = forecast.Share(activity);
    if (share < 0.0005) continue;
    absl::StrAppendFormat(&text, "  %s %.1f %%", ActivityName(activity), 100.0 * share);
  }
  return absl::StrCat(text, "\n");
}

absl::Status WritePicture(const std::string& path, const PlanningRun& run, const PlanInput& input,
                          double tolerance, absl::string_view title) {
  return WriteFileAtomically(
      path, PlanPicture(run.planned.plan, input.topology, input.model.mask, tolerance, title));
}

}  // namespace rally
