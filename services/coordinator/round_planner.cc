#include "services/coordinator/round_planner.h"

#include <utility>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "proto/convert.h"
#include "proto/limits.h"
#include "scheduler/check_plan.h"
#include "scheduler/planner.h"
#include "services/planning/job_batches.h"

namespace rally {
namespace {

constexpr size_t kMostPlanBytes = kMostMessageBytes - 4096;  // A message is a plan and little more.

class DatasetPlanner final : public RoundPlanner {
 public:
  DatasetPlanner(std::shared_ptr<const JobSpec> spec, const Clock* clock,
                 std::unique_ptr<JobBatches> batches)
      : spec_(std::move(spec)),
        clock_(clock),
        batches_(std::move(batches)),
        planner_(MakeJobPlanner(*spec_)) {}

  absl::StatusOr<PlannedRound> Plan(const RequestPlan& request) override {
    const absl::Time start = clock_->Now();
    const RoundKey& key = request.key;
    RALLY_ASSIGN_OR_RETURN(const GlobalBatch batch, batches_->Sample(key.kind, request.position));
    PlanInput input = batches_->InputFor(key.kind, &batch);
    input.topology.weights = request.weights;
    if (request.search > absl::ZeroDuration()) {
      input.keep_searching = [this, end = start + request.search] { return clock_->Now() < end; };
    }
    RALLY_ASSIGN_OR_RETURN(PlannedBatch made, planner_->MakePlan(input));
    rally::Plan& plan = made.plan;
    plan.round = key.round;
    plan.step = key.step;
    plan.kind = key.kind;
    RALLY_RETURN_IF_ERROR(CheckPlan(plan, spec_->model.mask));
    PlannedRound planned;
    planned.planning = clock_->Now() - start;
    RALLY_ASSIGN_OR_RETURN(const rally::Plan local, PlanWithoutPool(input));
    planned.imbalance_without_plan = Imbalance(local, {spec_->workers}, spec_->model.mask);
    planned.imbalance_with_plan = Imbalance(plan, input.topology, spec_->model.mask);
    planned.key = key;
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
  const std::shared_ptr<const JobSpec> spec_;
  const Clock* const clock_;
  const std::unique_ptr<JobBatches> batches_;
  const std::unique_ptr<Planner> planner_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RoundPlanner>> RoundPlanner::Create(
    std::shared_ptr<const JobSpec> spec, const Clock* clock) {
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<JobBatches> batches, JobBatches::Open(spec));
  return std::unique_ptr<RoundPlanner>(
      std::make_unique<DatasetPlanner>(std::move(spec), clock, std::move(batches)));
}

}  // namespace rally
