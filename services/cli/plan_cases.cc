#include "services/cli/plan_cases.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "common/clock.h"
#include "common/status_macros.h"
#include "scheduler/traffic_floor.h"
#include "services/cli/or_null.h"
#include "services/cli/plan_output.h"
#include "services/planning/planner_case.h"

namespace rally {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kCaseTolerance = 0.02;
constexpr int64_t kBfloat16Bytes = 2;

// A case, its plan and what both are measured by.
struct PlannedCase {
  PlanningRun run;
  int64_t documents = 0;
  double bytes_per_token = 0.0;  // Of one layer's forward pass, between ranks.
  double floor_bytes_per_token = 0.0;
  std::optional<double> over_published;  // Bytes over the published planner's.
  std::optional<StepForecast> forecast;  // With a profile.
};

absl::StatusOr<std::vector<PlannerCase>> Choose(std::vector<PlannerCase> cases,
                                                const PlanOptions& options) {
  if (options.case_name.empty()) return cases;
  std::vector<std::string> names;
  for (PlannerCase& one : cases) {
    if (one.name == options.case_name) return std::vector<PlannerCase>{std::move(one)};
    names.push_back(one.name);
  }
  return absl::InvalidArgumentError(absl::StrCat(options.case_path, ": --name: no case is called ",
                                                 options.case_name, "; there are ",
                                                 absl::StrJoin(names, ", ")));
}

absl::StatusOr<PlannedCase> PlanCase(const PlannerCase& one, PlannerKind kind, double tolerance,
                                     const PlanInput& input, const PlanningEffort& effort) {
  PlannedCase planned;
  RALLY_ASSIGN_OR_RETURN(planned.run,
                         RunPlanner(kind, {.tolerance = tolerance}, input, effort, *Clock::Real()));
  RALLY_ASSIGN_OR_RETURN(planned.forecast, Forecast(planned.run, input));
  const std::vector<Document>& documents = one.batch.groups[0];
  const std::vector<RankPart>& ranks = planned.run.summary.ranks;
  const double pairs = std::accumulate(
      ranks.begin(), ranks.end(), 0.0,
      [](double sum, const RankPart& part) { return sum + static_cast<double>(part.pairs); });
  const auto tokens = static_cast<double>(planned.run.summary.tokens);
  planned.documents = static_cast<int64_t>(documents.size());
  planned.bytes_per_token =
      TotalBytes(planned.run.summary, Direction::kForward, input.model, kBfloat16Bytes) / tokens;
  planned.floor_bytes_per_token =
      ForwardTrafficFloor(documents, (1.0 + tolerance) * pairs / one.servers, input.model,
                          kBfloat16Bytes) /
      tokens;
  if (one.published_bytes_per_token.has_value()) {
    planned.over_published = planned.bytes_per_token / *one.published_bytes_per_token;
  }
  return planned;
}

Json CaseJson(const PlannerCase& one, const PlannedCase& planned, PlannerKind kind,
              const PlanOptions& options) {
  const PlanSummary& summary = planned.run.summary;
  Json json = {{"name", one.name},
               {"planner", PlannerName(kind)},
               {"servers", one.servers},
               {"documents", planned.documents},
               {"tokens", summary.tokens},
               {"before_max_over_mean", summary.imbalance_without_plan},
               {"max_over_mean", summary.imbalance},
               {"forward_bytes_per_token", planned.bytes_per_token},
               {"floor_bytes_per_token", planned.floor_bytes_per_token},
               {"published_bytes_per_token", OrNull(one.published_bytes_per_token)},
               {"bytes_over_published", OrNull(planned.over_published)},
               {"plan_seconds", planned.run.plan_seconds},
               {"tasks", summary.tasks},
               {"smallest_query_shard", OrNull(summary.smallest_query_shard)}};
  if (planned.forecast.has_value()) json["forecast"] = ForecastJson(*planned.forecast);
  if (options.tasks) SetHomesAndTasks(planned.run.planned.plan, one.batch, /*phases=*/false, &json);
  return json;
}

// The table of all cases, a line at a time, so that a long run shows what it has.
class CaseTable {
 public:
  CaseTable(Console* console, const std::vector<PlannerCase>& cases) : out_(console->out()) {
    for (const PlannerCase& one : cases) width_ = std::max<int>(width_, one.name.size());
    out_ << absl::StrFormat("%-*s  %7s  %7s  %7s  %7s  %9s  %6s  %7s  %9s\n", width_, "CASE",
                            "BEFORE", "AFTER", "B/TOKEN", "FLOOR", "PUBLISHED", "RATIO", "TASKS",
                            "PLAN");
  }

  void Add(const PlannerCase& one, const PlannedCase& planned) {
    const PlanSummary& summary = planned.run.summary;
    const std::string published =
        one.published_bytes_per_token.has_value()
            ? absl::StrFormat("%9.0f  %6.3f", *one.published_bytes_per_token,
                              *planned.over_published)
            : absl::StrFormat("%9s  %6s", "-", "-");
    out_ << absl::StrFormat("%-*s  %7.3f  %7.3f  %7.0f  %7.0f  %s  %7d  %6.2f ms\n", width_,
                            one.name, summary.imbalance_without_plan, summary.imbalance,
                            planned.bytes_per_token, planned.floor_bytes_per_token, published,
                            summary.tasks, 1e3 * planned.run.plan_seconds);
    if (planned.forecast.has_value()) {
      out_ << absl::StrFormat("%-*s  %s", width_, "", ForecastText(*planned.forecast));
    }
    if (planned.over_published.has_value()) {
      log_ratios_ += std::log(*planned.over_published);
      ++ratios_;
    }
  }

  void Finish() {
    if (ratios_ > 0) {
      out_ << absl::StrFormat("geometric mean of %d ratios to the published planner: %.3f\n",
                              ratios_, std::exp(log_ratios_ / ratios_));
    }
    out_ << "BEFORE and AFTER: largest over mean query-key pairs of a server. B/TOKEN: bytes "
            "between ranks in a\nlayer's forward pass. FLOOR: no plan of this tolerance goes "
            "below. PUBLISHED: arXiv 2510.18121 at 0.05.\n";
  }

 private:
  std::ostream& out_;
  int width_ = 4;
  double log_ratios_ = 0.0;
  int ratios_ = 0;
};

}  // namespace

absl::Status PlanCases(const CommandContext& context, const GlobalOptions& globals,
                       const PlanOptions& options) {
  RALLY_ASSIGN_OR_RETURN(const PlannerKind kind, PlannerOf(options, PlannerKind::kRally));
  RALLY_ASSIGN_OR_RETURN(const PlanningEffort effort, EffortOf(options));
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<const CostModel> costs, ReadCosts(options));
  RALLY_ASSIGN_OR_RETURN(std::vector<PlannerCase> all, ReadPlannerCases(options.case_path));
  RALLY_ASSIGN_OR_RETURN(const std::vector<PlannerCase> cases, Choose(std::move(all), options));
  const double tolerance = options.tolerance > 0.0 ? options.tolerance : kCaseTolerance;
  std::optional<CaseTable> table;
  if (!globals.json) table.emplace(context.console, cases);
  Json json = Json::array();
  for (const PlannerCase& one : cases) {
    PlanInput input = one.Input();
    input.topology.ranks_per_node = options.ranks_per_node;
    input.costs = costs.get();
    absl::StatusOr<PlannedCase> planned = PlanCase(one, kind, tolerance, input, effort);
    if (!planned.ok()) {
      return Annotate(planned.status(), absl::StrCat(options.case_path, ": case ", one.name));
    }
    if (table.has_value()) {
      table->Add(one, *planned);
    } else {
      json.push_back(CaseJson(one, *planned, kind, options));
    }
    if (!options.svg_path.empty() && &one == &cases.front()) {
      RALLY_RETURN_IF_ERROR(WritePicture(options.svg_path, planned->run, input, tolerance,
                                         absl::StrCat(one.name, ", planner ", PlannerName(kind))));
    }
  }
  if (table.has_value()) {
    table->Finish();
  } else {
    context.console->out() << json.dump() << "\n";
  }
  return absl::OkStatus();
}

}  // namespace rally
