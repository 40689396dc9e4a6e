#include "services/coordinator/round_planner.h"

#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "proto/convert.h"
#include "proto/limits.h"
#include "scheduler/check_plan.h"
#include "scheduler/cost_model.h"
#include "scheduler/planner.h"
#include "scheduler/simulator.h"
#include "services/planning/job_batches.h"

namespace rally {
namespace {

constexpr size_t kMostPlanBytes = kMostMessageBytes - 4096;  // A message is a plan and little more.

class DatasetPlanner final : public RoundPlanner {
 public:
  DatasetPlanner(std::shared_ptr<const JobSpec> spec, const Clock* clock,
                 std::unique_ptr<JobBatches> batches, std::optional<CostModel> costs)
      : spec_(std::move(spec)),
        clock_(clock),
        batches_(std::move(batches)),
        costs_(std::move(costs)),
        planner_(MakeJobPlanner(*spec_)) {}

  absl::StatusOr<PlannedRound> Plan(const RequestPlan& request) override {
    if (request.resumed != nullptr) return Resume(request);
    const absl::Time start = clock_->Now();
    const RoundKey& key = request.key;
    RALLY_ASSIGN_OR_RETURN(const GlobalBatch batch, batches_->Sample(key.kind, request.position));
    PlanInput input = batches_->InputFor(key.kind, &batch);
    input.topology.dedicated_servers = request.dedicated;
    input.topology.weights = request.weights;
    if (costs_.has_value()) input.costs = &*costs_;
    if (request.search > absl::ZeroDuration()) {
      input.keep_searching = [this, end = start + request.search] { return clock_->Now() < end; };
    }
    RALLY_ASSIGN_OR_RETURN(PlannedBatch made, planner_->MakePlan(input));
    rally::Plan& plan = made.plan;
    plan.round = key.round;
    plan.step = key.step;
    plan.kind = key.kind;
    RALLY_ASSIGN_OR_RETURN(plan, PlanAllStages(*spec_, input.costs, std::move(plan)));
    RALLY_RETURN_IF_ERROR(CheckPlan(plan, spec_->model.mask));
    PlannedRound planned;
    planned.planning = clock_->Now() - start;
    RALLY_ASSIGN_OR_RETURN(const rally::Plan local, PlanWithoutPool(input));
    planned.imbalance_without_plan = Imbalance(local, {local.workers}, spec_->model.mask);
    planned.imbalance_with_plan = Imbalance(plan, input.topology, spec_->model.mask);
    RALLY_ASSIGN_OR_RETURN(planned.forecast, Forecast(plan));
    planned.key = key;
    planned.position = request.position;
    planned.next_position = plan.next_position;
    planned.tokens = TokenCount(plan);
    v1::Plan message = ToProto(plan);
    if (message.ByteSizeLong() > kMostPlanBytes) {
      return absl::InvalidArgumentError(
          absl::StrCat("batch: the plan of one step takes ", message.ByteSizeLong(),
                       " bytes, which is not in [0, ", kMostPlanBytes,
                       "]; lower batch.chunks or batch.chunk_tokens"));
    }
    planned.plan = std::make_shared<const v1::Plan>(std::move(message));
    return planned;
  }

 private:
  absl::StatusOr<PlannedRound> Resume(const RequestPlan& request) const {
    PlannedRound planned;
    planned.key = request.key;
    planned.plan = request.resumed;
    // A pool of equal size takes the tasks as they are.
    if (request.resumed->dedicated_servers() == request.dedicated) return planned;
    RALLY_ASSIGN_OR_RETURN(rally::Plan plan, FromProto(*request.resumed));
    Topology topology = spec_->topology();
    topology.dedicated_servers = request.dedicated;
    topology.weights = request.weights;
    PlannerOptions options;
    options.tolerance = spec_->attention.tolerance;
    RALLY_RETURN_IF_ERROR(AssignBalanced(topology, spec_->model, options, &plan));
    RALLY_RETURN_IF_ERROR(CheckPlan(plan, spec_->model.mask));
    planned.plan = std::make_shared<const v1::Plan>(ToProto(plan));
    return planned;
  }

  // Of a paced job: the simulator's word on the plan.
  absl::StatusOr<std::optional<StepForecast>> Forecast(const rally::Plan& plan) const {
    if (!costs_.has_value()) return std::nullopt;
    SimulationInput input;
    input.plan = &plan;
    input.topology = spec_->topology();
    input.model = spec_->model;
    input.costs = &*costs_;
    RALLY_ASSIGN_OR_RETURN(StepForecast forecast, Simulate(input));
    return forecast;
  }

  const std::shared_ptr<const JobSpec> spec_;
  const Clock* const clock_;
  const std::unique_ptr<JobBatches> batches_;
  const std::optional<CostModel> costs_;  // Of a paced job.
  const std::unique_ptr<Planner> planner_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RoundPlanner>> RoundPlanner::Create(
    std::shared_ptr<const JobSpec> spec, const Clock* clock) {
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<JobBatches> batches, JobBatches::Open(spec));
  std::optional<CostModel> costs;
  if (spec->paced.enabled()) {
    RALLY_ASSIGN_OR_RETURN(costs, CostModel::Parse(spec->paced.profile));
  }
  return std::unique_ptr<RoundPlanner>(std::make_unique<DatasetPlanner>(
      std::move(spec), clock, std::move(batches), std::move(costs)));
}

}  // namespace rally
