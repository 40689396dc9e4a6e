#include "services/cli/plan_job.h"

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>

#include "common/clock.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "services/cli/plan_output.h"
#include "services/coordinator/admission.h"
#include "services/job_file/job_file.h"
#include "services/planning/job_batches.h"

namespace rally {
namespace {

using Json = nlohmann::ordered_json;

// What rows are priced at; requests of a bfloat16 job take half (scheduler/message_layout.h).
constexpr int64_t kFloat32Bytes = 4;

absl::StatusOr<std::shared_ptr<const JobSpec>> ReadSpec(const PlanOptions& options) {
  RALLY_ASSIGN_OR_RETURN(const JobFile file, ReadJobFile(options.job_path));
  RALLY_ASSIGN_OR_RETURN(JobSpec spec, FromProto(file.spec));
  RALLY_RETURN_IF_ERROR(file.Locate(CheckDataset(&spec)));
  if (options.tolerance > 0.0) spec.attention.tolerance = options.tolerance;
  RALLY_ASSIGN_OR_RETURN(spec.attention.planner, PlannerOf(options, spec.attention.planner));
  return std::make_shared<const JobSpec>(std::move(spec));
}

// A planned job, with what its figures need.
class JobPlan {
 public:
  JobPlan(const PlanOptions& options, const JobSpec& spec, const PlanInput& input, PlanningRun run,
          std::optional<StepForecast> forecast)
      : options_(options),
        spec_(spec),
        input_(input),
        run_(std::move(run)),
        forecast_(std::move(forecast)) {}

  Json ToJson() const {
    const PlanSummary& summary = run_.summary;
    Json json = {{"job", options_.job_path},
                 {"step", 1},
                 {"planner", PlannerName(spec_.planner())},
                 {"tolerance", spec_.attention.tolerance},
                 {"documents", plan().documents.size()},
                 {"tokens", summary.tokens},
                 {"micro_batches", plan().micro_batches.size()},
                 {"imbalance_without_plan", summary.imbalance_without_plan},
                 {"imbalance", summary.imbalance},
                 {"within_tolerance", run_.planned.report.within_tolerance},
                 {"forward_bytes_per_token", PerTokenJson(Direction::kForward)},
                 {"backward_bytes_per_token", PerTokenJson(Direction::kBackward)},
                 {"plan_seconds", run_.plan_seconds},
                 {"tasks", summary.tasks},
                 {"smallest_query_shard", summary.smallest_query_shard.has_value()
                                              ? Json(*summary.smallest_query_shard)
                                              : Json(nullptr)},
                 {"forecast", forecast_.has_value() ? ForecastJson(*forecast_) : Json(nullptr)},
                 {"ranks", RanksJson()}};
    if (options_.tasks) SetHomesAndTasks(plan(), *input_.batch, /*phases=*/true, &json);
    return json;
  }

  std::string ToText() const {
    const PlanSummary& summary = run_.summary;
    std::string text =
        absl::StrFormat("%s, step 1: %d documents, %d tokens, %d micro-batch(es), planner %s\n",
                        options_.job_path, plan().documents.size(), summary.tokens,
                        plan().micro_batches.size(), PlannerName(spec_.planner()));
    absl::StrAppendFormat(&text,
                          "  imbalance  %.3f without the plan, %.3f with it (largest over mean "
                          "attention work)\n",
                          summary.imbalance_without_plan, summary.imbalance);
    absl::StrAppendFormat(&text, "  tasks      %d", summary.tasks);
    if (summary.smallest_query_shard.has_value()) {
      absl::StrAppendFormat(&text, ", of %d query rows or more", *summary.smallest_query_shard);
    }
    absl::StrAppend(&text, "\n", TrafficText("forward", Direction::kForward),
                    TrafficText("backward", Direction::kBackward));
    absl::StrAppendFormat(&text, "  plan time  %.2f ms\n", 1e3 * run_.plan_seconds);
    if (forecast_.has_value()) absl::StrAppend(&text, "  forecast   ", ForecastText(*forecast_));
    absl::StrAppend(&text, "\n", RankTable());
    return text;
  }

 private:
  const Plan& plan() const { return run_.planned.plan; }
  int64_t element_bytes() const {
    return input_.costs == nullptr ? kFloat32Bytes : input_.costs->element_bytes();
  }

  double PerToken(Direction direction, LinkClass link) const {
    const BytesByLink bytes =
        LayerBytes(run_.summary.rows, direction, input_.model, element_bytes());
    return bytes[static_cast<size_t>(link)] / static_cast<double>(run_.summary.tokens);
  }

  Json PerTokenJson(Direction direction) const {
    return {{"same_node", PerToken(direction, LinkClass::kSameNode)},
            {"across_nodes", PerToken(direction, LinkClass::kAcrossNodes)}};
  }

  std::string TrafficText(absl::string_view name, Direction direction) const {
    return absl::StrFormat("  %-9s  %.0f B/token within nodes, %.0f across nodes, a layer\n", name,
                           PerToken(direction, LinkClass::kSameNode),
                           PerToken(direction, LinkClass::kAcrossNodes));
  }

  std::string RoleOf(size_t rank) const {
    return static_cast<int32_t>(rank) < plan().workers ? "worker" : "server";
  }

  RemoteRows ReceivedBy(const RankPart& part) const {
    RemoteRows received;
    for (const RemoteRows& rows : part.received) received += rows;
    return received;
  }

  // Pairs over the mean of the pool's members; of no meaning outside the pool.
  double OverMean(const RankPart& part) const {
    double total = 0.0;
    int members = 0;
    for (int32_t rank = 0; rank < plan().ranks(); ++rank) {
      total += static_cast<double>(run_.summary.ranks[static_cast<size_t>(rank)].pairs);
      members += input_.topology.weight(rank) > 0.0;
    }
    return total == 0.0 ? 0.0 : static_cast<double>(part.pairs) * members / total;
  }

  Json RanksJson() const {
    Json ranks = Json::array();
    for (size_t rank = 0; rank < run_.summary.ranks.size(); ++rank) {
      const RankPart& part = run_.summary.ranks[rank];
      const RemoteRows received = ReceivedBy(part);
      ranks.push_back({{"rank", rank},
                       {"role", RoleOf(rank)},
                       {"tokens", part.tokens},
                       {"tasks", part.tasks},
                       {"pairs", part.pairs},
                       {"over_mean", OverMean(part)},
                       {"query_rows_received", received.queries},
                       {"key_rows_received", received.keys}});
    }
    return ranks;
  }

  std::string RankTable() const {
    std::string text =
        absl::StrFormat("%4s  %-6s  %8s  %6s  %15s  %9s  %12s  %12s\n", "RANK", "ROLE", "TOKENS",
                        "TASKS", "PAIRS", "OVER MEAN", "QUERIES IN", "KEYS IN");
    for (size_t rank = 0; rank < run_.summary.ranks.size(); ++rank) {
      const RankPart& part = run_.summary.ranks[rank];
      const RemoteRows received = ReceivedBy(part);
      absl::StrAppendFormat(&text, "%4d  %-6s  %8d  %6d  %15d  %9.3f  %12d  %12d\n", rank,
                            RoleOf(rank), part.tokens, part.tasks, part.pairs, OverMean(part),
                            received.queries, received.keys);
    }
    return text;
  }

  const PlanOptions& options_;
  const JobSpec& spec_;
  const PlanInput& input_;
  const PlanningRun run_;
  const std::optional<StepForecast> forecast_;  // With a profile.
};

}  // namespace

absl::Status PlanJob(const CommandContext& context, const GlobalOptions& globals,
                     const PlanOptions& options) {
  RALLY_ASSIGN_OR_RETURN(const PlanningEffort effort, EffortOf(options));
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<const CostModel> costs, ReadCosts(options));
  RALLY_ASSIGN_OR_RETURN(const std::shared_ptr<const JobSpec> spec, ReadSpec(options));
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<JobBatches> batches, JobBatches::Open(spec));
  RALLY_ASSIGN_OR_RETURN(const GlobalBatch batch,
                         batches->Sample(PlanKind::kTrain, DataPosition{}));
  PlanInput input = batches->InputFor(PlanKind::kTrain, &batch);
  input.topology.ranks_per_node = options.ranks_per_node;
  input.costs = costs.get();
  const double tolerance = spec->attention.tolerance;
  RALLY_ASSIGN_OR_RETURN(PlanningRun run, RunPlanner(spec->planner(), {.tolerance = tolerance},
                                                     input, effort, *Clock::Real()));
  if (!options.svg_path.empty()) {
    RALLY_RETURN_IF_ERROR(WritePicture(
        options.svg_path, run, input, tolerance,
        absl::StrCat(options.job_path, ", step 1, planner ", PlannerName(spec->planner()))));
  }
  RALLY_ASSIGN_OR_RETURN(std::optional<StepForecast> forecast, Forecast(run, input));
  const JobPlan job(options, *spec, input, std::move(run), std::move(forecast));
  context.console->out() << (globals.json ? absl::StrCat(job.ToJson().dump(), "\n") : job.ToText());
  return absl::OkStatus();
}

}  // namespace rally
