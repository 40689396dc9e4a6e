// A member that computes core attention only: see job_member.h.
#include <utility>

#include <absl/time/clock.h>

#include "common/status_macros.h"
#include "proto/convert.h"
#include "workers/job_member.h"

namespace rally {
namespace {

class AttentionMember final : public JobMember {
 public:
  using JobMember::JobMember;
  ~AttentionMember() override { abort_.Clear(); }

  bool AwaitsCommit() const override { return false; }
  absl::StatusOr<v1::Committed> Commit(bool /*checkpoint*/) override {
    return absl::InternalError("an attention server has nothing to commit");
  }

 private:
  absl::Status PrepareRole(v1::Prepared* /*prepared*/) override { return absl::OkStatus(); }
  absl::Status ConnectRole(const v1::Connect& /*connect*/, v1::Ready* /*ready*/) override {
    return absl::OkStatus();
  }

  absl::Status RunPlan(std::shared_ptr<const Plan> plan, const CollectedPhases& collected,
                       v1::RoundDone* done) override {
    RALLY_RETURN_IF_ERROR(server_->BeginStep(std::move(plan), collected));
    RALLY_RETURN_IF_ERROR(server_->ServeStep());
    *done->mutable_compute() = ToProto(server_->stats().compute);
    *done->mutable_waiting() = ToProto(server_->stats().waiting);
    return absl::OkStatus();
  }
};

}  // namespace

std::unique_ptr<JobMember> MakeAttentionMember(const MemberResources& resources,
                                               JobAssignment assignment, MemberSwitches switches,
                                               PoolFeed* feed) {
  return std::make_unique<AttentionMember>(resources, std::move(assignment), std::move(switches),
                                           feed);
}

}  // namespace rally
