// JobBatches: the batches that a job's rounds train and validate on, and what its planner is given.
//
// A training batch begins at the data position given; the validation batch is the same every time:
// the held-out documents from the first of their shuffled order, as many chunks as asked for,
// rounded up to whole groups. Deterministic.
//
// Thread-compatible: one caller at a time.
#ifndef RALLY_SERVICES_PLANNING_JOB_BATCHES_H_
#define RALLY_SERVICES_PLANNING_JOB_BATCHES_H_

#include <memory>

#include <absl/status/statusor.h>

#include "scheduler/batch_sampler.h"
#include "scheduler/job_spec.h"
#include "scheduler/plan.h"
#include "scheduler/planner.h"

namespace rally {

class JobBatches {
 public:
  virtual ~JobBatches() = default;

  // Reads the lengths from spec.data.path; errors as CheckDataset's (coordinator/admission.h).
  static absl::StatusOr<std::unique_ptr<JobBatches>> Open(std::shared_ptr<const JobSpec> spec);

  // The position matters to training only. FailedPrecondition for a validation when no documents
  // are held out.
  virtual absl::StatusOr<GlobalBatch> Sample(PlanKind kind, const DataPosition& position) = 0;

  // What the job's planner gets of a batch of this kind: with pipeline stages the workers are those
  // of one. `batch` is borrowed.
  virtual PlanInput InputFor(PlanKind kind, const GlobalBatch* batch) const = 0;
};

// The planner that the job asks for, with the job's options.
std::unique_ptr<Planner> MakeJobPlanner(const JobSpec& spec);

// A plan for the workers of one of the job's pipeline stages as one of them all, its tasks spread
// over their pool; without stages as it is. `costs` may be null.
absl::StatusOr<Plan> PlanAllStages(const JobSpec& spec, const CostModel* costs, Plan plan);

// The same batch in order of arrival, every query at its home: what there is without a plan.
absl::StatusOr<Plan> PlanWithoutPool(PlanInput input);

}  // namespace rally

#endif  // RALLY_SERVICES_PLANNING_JOB_BATCHES_H_
