#include "services/coordinator/round_planner.h"

#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>

#include "common/dataset.h"
#include "common/dataset_split.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "proto/limits.h"
#include "scheduler/batch_sampler.h"
#include "scheduler/check_plan.h"
#include "scheduler/planner.h"

namespace rally {
namespace {

constexpr size_t kMostPlanBytes = kMostMessageBytes - 4096;  // A message is a plan and little more.

// One split's documents and the sampler over them.
struct Split {
  Split(const Dataset& dataset, std::vector<int64_t> indices, const BatchShape& shape,
        uint64_t seed, bool shuffle)
      : sources(std::move(indices)),
        lengths(Lengths(dataset, sources)),
        sampler(lengths, sources, shape, seed, shuffle) {}

  static std::vector<int64_t> Lengths(const Dataset& dataset, const std::vector<int64_t>& sources) {
    std::vector<int64_t> lengths;
    lengths.reserve(sources.size());
    for (int64_t source : sources) lengths.push_back(dataset.length(source));
    return lengths;
  }

  const std::vector<int64_t> sources;
  const std::vector<int64_t> lengths;
  BatchSampler sampler;
};

BatchShape ValidationShape(const JobSpec& spec) {
  BatchShape shape = spec.batch;
  const int64_t group = shape.chunks_per_group();
  shape.chunks = (spec.validation.chunks + group - 1) / group * group;
  return shape;
}

class DatasetPlanner final : public RoundPlanner {
 public:
  DatasetPlanner(std::shared_ptr<const JobSpec> spec, const Clock* clock, const Dataset& dataset,
                 DatasetSplit split)
      : spec_(std::move(spec)),
        clock_(clock),
        training_(dataset, std::move(split.training), spec_->batch, spec_->data.seed,
                  spec_->data.shuffle),
        planner_(MakePlanner(PlannerKind::kArrival, {.tolerance = spec_->attention.tolerance})) {
    if (split.validation.empty()) return;
    // Shuffled whatever the job says: a few chunks are to speak for the whole split, which may be
    // sorted. Every validation begins at the same position, so all see the same documents.
    validation_ = std::make_unique<Split>(dataset, std::move(split.validation),
                                          ValidationShape(*spec_), spec_->data.seed,
                                          /*shuffle=*/true);
  }

  absl::StatusOr<PlannedRound> Plan(const RoundKey& key, const DataPosition& position) override {
    const absl::Time start = clock_->Now();
    const bool train = key.kind == PlanKind::kTrain;
    if (!train && validation_ == nullptr) {
      return absl::FailedPreconditionError("validation.every: no documents are held out");
    }
    const GlobalBatch batch =
        train ? training_.sampler.Sample(position) : validation_->sampler.Sample(DataPosition{});
    PlanInput input;
    input.batch = &batch;
    input.shape = train ? spec_->batch : ValidationShape(*spec_);
    input.topology = spec_->topology();
    input.model = spec_->model;
    input.ping_pong = spec_->training.ping_pong;
    RALLY_ASSIGN_OR_RETURN(PlannedBatch made, planner_->MakePlan(input));
    rally::Plan& plan = made.plan;
    plan.round = key.round;
    plan.step = key.step;
    plan.kind = key.kind;
    RALLY_RETURN_IF_ERROR(CheckPlan(plan, spec_->model.mask));
    PlannedRound planned;
    planned.planning = clock_->Now() - start;
    RALLY_RETURN_IF_ERROR(Measure(input, plan, &planned));
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
  // Imbalance of the batch in order of arrival, every query at its home, and as planned.
  absl::Status Measure(PlanInput input, const rally::Plan& plan, PlannedRound* planned) {
    input.topology = {spec_->workers, 0, false};
    RALLY_ASSIGN_OR_RETURN(const PlannedBatch local,
                           MakePlanner(PlannerKind::kLocal, {})->MakePlan(input));
    planned->imbalance_without_plan = Imbalance(local.plan, input.topology, spec_->model.mask);
    planned->imbalance_with_plan = Imbalance(plan, spec_->topology(), spec_->model.mask);
    return absl::OkStatus();
  }

  const std::shared_ptr<const JobSpec> spec_;
  const Clock* const clock_;
  Split training_;
  std::unique_ptr<Split> validation_;  // Null when nothing is held out.
  const std::unique_ptr<Planner> planner_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RoundPlanner>> RoundPlanner::Create(
    std::shared_ptr<const JobSpec> spec, const Clock* clock) {
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> dataset, Dataset::Open(spec->data.path));
  DatasetSplit split =
      SplitDataset(dataset->info().documents, spec->data.validation_fraction, spec->data.seed);
  return std::unique_ptr<RoundPlanner>(
      std::make_unique<DatasetPlanner>(std::move(spec), clock, *dataset, std::move(split)));
}

}  // namespace rally
