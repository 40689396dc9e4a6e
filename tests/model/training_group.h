// TrainingGroup: every rank of a small job in one process, a thread each, over in-process
// transports.
//
// Workers reduce over Gloo on loopback when there are several. Ranks serve with `ServiceMaker`'s
// service: the test's reference, or the real attention server. Threads: one caller at a time.
#ifndef RALLY_TESTS_MODEL_TRAINING_GROUP_H_
#define RALLY_TESTS_MODEL_TRAINING_GROUP_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "scheduler/job_spec.h"
#include "scheduler/plan.h"
#include "tests/model/plan_fixture.h"
#include "workers/attention/attention_kernel.h"
#include "workers/model/collective.h"
#include "workers/model/trainer.h"
#include "workers/transport/buffer.h"
#include "workers/transport/transport.h"

namespace rally::testing {

// One rank's attention: `service` for workers, `serve_step` for dedicated servers.
struct RankService {
  InPlaceService service;
  std::function<absl::Status()> serve_step;
  std::shared_ptr<void> owner;
};
using ServiceMaker =
    std::function<RankService(const JobSpec& spec, Transport* transport, BufferPool* pool)>;

// The test's own service in double precision, and the product's, whose kernel may be wrapped.
ServiceMaker ReferenceServices();
using WrapKernel =
    std::function<std::unique_ptr<AttentionKernel>(std::unique_ptr<AttentionKernel> kernel)>;
ServiceMaker AttentionServers(CpuInstructionSet set = CpuInstructionSet::kBest,
                              const WrapKernel& wrap = {});

class TrainingGroup {
 public:
  TrainingGroup(const JobSpec& spec, const Corpus& corpus, const ServiceMaker& make_service,
                PlannerKind planner = PlannerKind::kArrival);
  ~TrainingGroup();

  // Runs rounds and commits them, from where the trainers stand, until `step`. Losses in order; all
  // workers must agree on each.
  absl::StatusOr<std::vector<double>> TrainUntil(int64_t step);
  absl::StatusOr<double> Validate();
  // Writes a checkpoint, all workers together, and waits for it; its folder.
  absl::StatusOr<std::string> SaveCheckpoint();
  // How the last round ended on a rank, servers included. A loss that is not finite is found by
  // every worker itself, an error of another kind may be another rank's.
  const absl::Status& round_status(int32_t rank) const { return round_status_[rank]; }

  Trainer& trainer(int32_t rank) { return *trainers_[rank]; }

 private:
  std::shared_ptr<Plan> NextPlan(const DataPosition& data, PlanKind kind);
  absl::StatusOr<double> RunRound(std::shared_ptr<const Plan> plan);

  const JobSpec spec_;
  const Corpus corpus_;
  const PlannerKind planner_;
  std::vector<std::unique_ptr<Transport>> transports_;
  std::vector<std::unique_ptr<BufferPool>> pools_;
  std::vector<RankService> services_;
  std::unique_ptr<Rendezvous> rendezvous_;
  std::vector<std::unique_ptr<Collective>> collectives_;
  std::vector<std::unique_ptr<Trainer>> trainers_;
  std::vector<absl::Status> round_status_;
  int64_t rounds_ = 0;
};

}  // namespace rally::testing

#endif  // RALLY_TESTS_MODEL_TRAINING_GROUP_H_
