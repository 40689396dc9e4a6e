#include "services/planning/job_batches.h"

#include <cstdint>
#include <utility>
#include <vector>

#include <absl/status/status.h>

#include "common/dataset.h"
#include "common/dataset_split.h"
#include "common/status_macros.h"
#include "scheduler/pipeline_plan.h"
#include "scheduler/pipeline_schedule.h"
#include "scheduler/tick_balance.h"
#include "scheduler/training_setup.h"

namespace rally {
namespace {

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

PlannerOptions OptionsOf(const JobSpec& spec) { return {.tolerance = spec.attention.tolerance}; }

class DatasetBatches final : public JobBatches {
 public:
  DatasetBatches(std::shared_ptr<const JobSpec> spec, const Dataset& dataset, DatasetSplit split)
      : spec_(std::move(spec)),
        training_(dataset, std::move(split.training), spec_->batch, spec_->data.seed,
                  spec_->data.shuffle) {
    if (split.validation.empty()) return;
    // Shuffled whatever the job says: a few chunks are to speak for the whole split, which may be
    // sorted. Every validation begins at the same position, so all see the same documents.
    validation_ = std::make_unique<Split>(dataset, std::move(split.validation),
                                          ValidationShape(*spec_), spec_->data.seed,
                                          /*shuffle=*/true);
  }

  absl::StatusOr<GlobalBatch> Sample(PlanKind kind, const DataPosition& position) override {
    if (kind == PlanKind::kTrain) return training_.sampler.Sample(position);
    if (validation_ == nullptr) {
      return absl::FailedPreconditionError("validation.every: no documents are held out");
    }
    return validation_->sampler.Sample(DataPosition{});
  }

  PlanInput InputFor(PlanKind kind, const GlobalBatch* batch) const override {
    PlanInput input;
    input.batch = batch;
    input.shape = kind == PlanKind::kTrain ? spec_->batch : ValidationShape(*spec_);
    input.topology = spec_->topology();
    input.topology.workers = spec_->replicas();
    input.model = spec_->model;
    input.ping_pong = spec_->training.ping_pong;
    return input;
  }

 private:
  const std::shared_ptr<const JobSpec> spec_;
  Split training_;
  std::unique_ptr<Split> validation_;  // Null when nothing is held out.
};

}  // namespace

absl::StatusOr<std::unique_ptr<JobBatches>> JobBatches::Open(std::shared_ptr<const JobSpec> spec) {
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<Dataset> dataset, Dataset::Open(spec->data.path));
  DatasetSplit split =
      SplitDataset(dataset->info().documents, spec->data.validation_fraction, spec->data.seed);
  return std::unique_ptr<JobBatches>(
      std::make_unique<DatasetBatches>(std::move(spec), *dataset, std::move(split)));
}

std::unique_ptr<Planner> MakeJobPlanner(const JobSpec& spec) {
  return MakePlanner(spec.planner(), OptionsOf(spec));
}

absl::StatusOr<Plan> PlanAllStages(const JobSpec& spec, const CostModel* costs, Plan plan) {
  if (spec.paced.stages == 1) return plan;
  RALLY_ASSIGN_OR_RETURN(const StageSchedule schedule,
                         MakeSchedule(ScheduleKind::kPhaseAligned, spec.paced.stages,
                                      static_cast<int32_t>(plan.micro_batches.size())));
  RALLY_ASSIGN_OR_RETURN(Plan laid, LayOverTicks(plan, schedule));
  if (HasPool(spec.planner())) {
    RALLY_RETURN_IF_ERROR(BalanceTicks(spec.topology(), spec.model, OptionsOf(spec), costs, &laid));
  }
  return laid;
}

absl::StatusOr<Plan> PlanWithoutPool(PlanInput input) {
  input.topology = {.workers = input.topology.workers};
  input.keep_searching = nullptr;
  RALLY_ASSIGN_OR_RETURN(PlannedBatch planned,
                         MakePlanner(PlannerKind::kLocal, {})->MakePlan(input));
  return std::move(planned.plan);
}

}  // namespace rally
