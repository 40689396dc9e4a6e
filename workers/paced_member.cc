// A member of a paced job, in either role: see job_member.h and paced_device.h.
#include <algorithm>
#include <numeric>
#include <optional>
#include <utility>

#include "common/log.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "scheduler/device_program.h"
#include "scheduler/device_shape.h"
#include "scheduler/phase_costs.h"
#include "scheduler/simulator.h"
#include "workers/job_member.h"
#include "workers/paced_device.h"

namespace rally {
namespace {

// Of a step; a device that is later does not keep up.
constexpr double kMostLate = 0.05;

class PacedMember final : public JobMember {
 public:
  using JobMember::JobMember;
  // Nothing may be told to abort once its destruction has begun; transfers end before their
  // buffers.
  ~PacedMember() override {
    abort_.Clear();
    LeavePool();
  }

  bool AwaitsCommit() const override { return awaits_commit_; }
  absl::StatusOr<v1::Committed> Commit(bool checkpoint) override;

 private:
  absl::Status PrepareRole(v1::Prepared* prepared) override;
  absl::Status ConnectRole(const v1::Connect& connect, v1::Ready* ready) override;
  absl::Status RunPlan(std::shared_ptr<const Plan> plan, const CollectedPhases& collected,
                       v1::RoundDone* done) override;

  const PacedSpec& paced() const { return assignment_.spec.paced; }
  bool is_worker() const { return assignment_.rank < assignment_.spec.workers; }

  Topology topology_;
  std::optional<CostModel> costs_;     // After Prepare.
  std::optional<PacedDevice> device_;  // After Connect.
  bool awaits_commit_ = false;
  int64_t step_ = 0;
};

absl::Status PacedMember::PrepareRole(v1::Prepared* /*prepared*/) {
  topology_ = assignment_.spec.topology();
  RALLY_ASSIGN_OR_RETURN(costs_, CostModel::Parse(paced().profile));
  return absl::OkStatus();
}

absl::Status PacedMember::ConnectRole(const v1::Connect& /*connect*/, v1::Ready* ready) {
  PacedDeviceOptions options;
  options.epoch = assignment_.epoch;
  options.time_scale = paced().time_scale;
  options.message_scale = paced().message_scale;
  options.patience = resources_.phase_timeout * std::max(1.0, paced().time_scale);
  device_.emplace(options, &topology_, &*costs_, transport_.get(), resources_.pool);
  abort_.Add([this](const absl::Status&) { device_->Abort(); });
  *ready->mutable_position() = ToProto(DataPosition{});
  return absl::OkStatus();
}

absl::Status PacedMember::RunPlan(std::shared_ptr<const Plan> plan,
                                  const CollectedPhases& /*collected*/, v1::RoundDone* done) {
  SimulationInput input;
  input.plan = plan.get();
  input.topology = topology_;
  input.model = assignment_.spec.model;
  input.costs = &*costs_;
  const DeviceShape shape(input.model, input.tensor_parallel, input.costs);
  const StepProgram program = MakeStepProgram(input, shape, input.model.layers / plan->stages);
  const PhaseTable costs = CostsOfPlan(*plan, shape, *costs_);
  RALLY_ASSIGN_OR_RETURN(const PacedTimes times, device_->Run({plan->round, &program, &costs}));
  if (times.late > kMostLate * times.total) {
    RALLY_LOG_WARN(
        "the emulated device is {:.3f} s behind in a step of {:.3f} s: raise "
        "paced.time_scale",
        times.late, times.total);
  }
  for (const double seconds : times.seconds) done->add_device_seconds(seconds);
  const auto first_idle = times.seconds.begin() + static_cast<int>(Activity::kImbalance);
  const double work = std::accumulate(times.seconds.begin(), first_idle, 0.0);
  *done->mutable_compute() = ToProto(absl::Seconds(work * paced().time_scale));
  *done->mutable_waiting() = ToProto(absl::Seconds((times.total - work) * paced().time_scale));
  awaits_commit_ = is_worker() && plan->kind == PlanKind::kTrain;
  if (plan->kind == PlanKind::kTrain) step_ = plan->step;
  return absl::OkStatus();
}

absl::StatusOr<v1::Committed> PacedMember::Commit(bool /*checkpoint*/) {
  if (!awaits_commit_) return absl::InternalError("there is nothing to commit");
  awaits_commit_ = false;
  v1::Committed committed;
  committed.set_step(step_);
  return committed;
}

}  // namespace

std::unique_ptr<JobMember> MakePacedMember(const MemberResources& resources,
                                           JobAssignment assignment, MemberSwitches switches,
                                           PoolFeed* feed) {
  return std::make_unique<PacedMember>(resources, std::move(assignment), std::move(switches), feed);
}

}  // namespace rally
