// A member that holds the model's layers, and serves core attention in place: see job_member.h.
#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/dataset.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "workers/job_member.h"
#include "workers/model/checkpoint_directory.h"
#include "workers/model/collective.h"
#include "workers/model/trainer.h"

namespace rally {
namespace {

class ModelMember final : public JobMember {
 public:
  using JobMember::JobMember;
  // Nothing may be told to abort once its destruction has begun.
  ~ModelMember() override { abort_.Clear(); }

  bool AwaitsCommit() const override { return awaits_commit_; }
  absl::StatusOr<v1::Committed> Commit(bool checkpoint) override;

 private:
  absl::Status PrepareRole(v1::Prepared* prepared) override;
  absl::Status ConnectRole(const v1::Connect& connect, v1::Ready* ready) override;
  absl::Status RunPlan(std::shared_ptr<const Plan> plan, const CollectedPhases& collected,
                       v1::RoundDone* done) override;
  void UsePool() override { trainer_->UsePool(transport_.get(), assignment_.epoch); }

  absl::Status OpenDataset();
  InPlaceService MakeService();
  absl::StatusOr<PoolChange> ChangePool(const absl::Status& cause, const RoundStanding& standing);
  absl::Status Restore();

  std::unique_ptr<Dataset> dataset_;
  int64_t vocabulary_ = 0;
  std::unique_ptr<Rendezvous> rendezvous_;  // Of rank 0.
  std::unique_ptr<Collective> collective_;
  std::unique_ptr<Trainer> trainer_;
  bool awaits_commit_ = false;
};

absl::Status ModelMember::OpenDataset() {
  absl::StatusOr<std::unique_ptr<Dataset>> dataset = Dataset::Open(assignment_.spec.data.path);
  if (!dataset.ok()) return Annotate(dataset.status(), "data.path");
  dataset_ = *std::move(dataset);
  const int64_t in_dataset = dataset_->info().vocabulary;
  vocabulary_ =
      assignment_.spec.model.vocabulary > 0 ? assignment_.spec.model.vocabulary : in_dataset;
  if (vocabulary_ >= in_dataset) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat("model.vocabulary: ", vocabulary_, " is below the dataset's ", in_dataset));
}

absl::Status ModelMember::PrepareRole(v1::Prepared* prepared) {
  RALLY_RETURN_IF_ERROR(OpenDataset());
  if (assignment_.rank != 0) return absl::OkStatus();
  CheckpointSpec checkpoint = assignment_.spec.checkpoint;
  checkpoint.resume = assignment_.restore;
  RALLY_RETURN_IF_ERROR(CheckCheckpointDirectory(checkpoint));
  if (assignment_.spec.workers == 1) return absl::OkStatus();
  RALLY_ASSIGN_OR_RETURN(rendezvous_, MakeRendezvous(resources_.advertise_host));
  prepared->set_rendezvous(rendezvous_->endpoint());
  // Workers that wait at the meeting point of a run that has ended see it go. From here on it is
  // the switch's: it may be gone at once.
  abort_.Add([this](const absl::Status&) { rendezvous_.reset(); });
  return absl::OkStatus();
}

InPlaceService ModelMember::MakeService() {
  InPlaceService service;
  service.begin_step = [this](std::shared_ptr<const Plan> plan, const CollectedPhases& collected) {
    return server_->BeginStep(std::move(plan), collected);
  };
  service.post_phase = [this](const Phase& phase) { return server_->PostPhase(phase); };
  service.serve_phase = [this](const Phase& phase) { return server_->ServePhase(phase); };
  service.change_pool = [this](const absl::Status& cause, const RoundStanding& standing) {
    return ChangePool(cause, standing);
  };
  service.report_late = [this](const std::string& what) { feed_.ReportTrouble(what); };
  return service;
}

absl::StatusOr<PoolChange> ModelMember::ChangePool(const absl::Status& cause,
                                                   const RoundStanding& standing) {
  v1::Standing message;
  message.set_round(standing.round);
  message.set_begun(true);
  message.set_collected(standing.collected);
  message.set_complete(standing.complete);
  RALLY_ASSIGN_OR_RETURN(const std::optional<v1::PlanMessage> resumed,
                         feed_.AwaitPlan(BlameCluster(cause), message));
  PoolChange change;
  change.transport = transport_.get();
  change.epoch = assignment_.epoch;
  if (!resumed.has_value()) return change;
  RALLY_ASSIGN_OR_RETURN(Plan plan, ReadPlan(resumed->plan()));
  RALLY_ASSIGN_OR_RETURN(change.collected, ReadCollected(*resumed));
  change.plan = std::make_shared<const Plan>(std::move(plan));
  return change;
}

absl::Status ModelMember::ConnectRole(const v1::Connect& connect, v1::Ready* ready) {
  RALLY_ASSIGN_OR_RETURN(
      collective_, MakeCollective(assignment_.rank, assignment_.spec.workers, connect.rendezvous(),
                                  resources_.phase_timeout));
  abort_.Add([this](const absl::Status& error) { collective_->Abort(error); });
  TrainerOptions options;
  options.spec = assignment_.spec;
  options.spec.model.vocabulary = vocabulary_;
  options.rank = assignment_.rank;
  options.epoch = assignment_.epoch;
  options.threads = resources_.threads;
  options.phase_timeout = resources_.phase_timeout;
  ReadTokens read_tokens = [this](int64_t source, int64_t begin, absl::Span<int32_t> out) {
    return dataset_->Read(source, begin, out);
  };
  RALLY_ASSIGN_OR_RETURN(trainer_,
                         MakeTrainer(options, transport_.get(), resources_.pool, collective_.get(),
                                     std::move(read_tokens), MakeService()));
  if (assignment_.restore) RALLY_RETURN_IF_ERROR(Restore());
  ready->set_step(trainer_->position().step);
  *ready->mutable_position() = ToProto(trainer_->position().data);
  return absl::OkStatus();
}

absl::Status ModelMember::Restore() {
  if (assignment_.spec.checkpoint.directory.empty()) return absl::OkStatus();
  const absl::StatusOr<TrainingPosition> position = trainer_->Restore();
  if (position.ok()) RALLY_LOG_INFO("continuing from the checkpoint of step {}", position->step);
  return absl::IsNotFound(position.status()) ? absl::OkStatus() : position.status();
}

absl::Status ModelMember::RunPlan(std::shared_ptr<const Plan> plan,
                                  const CollectedPhases& collected, v1::RoundDone* done) {
  if (awaits_commit_) return absl::InternalError("a plan came before the commit of the last one");
  const bool train = plan->kind == PlanKind::kTrain;
  RALLY_ASSIGN_OR_RETURN(const RoundResult result, trainer_->RunRound(std::move(plan), collected));
  awaits_commit_ = train;
  done->set_loss(result.loss);
  done->set_gradient_norm(result.gradient_norm);
  done->set_learning_rate(result.learning_rate);
  // To the trainer, serving in place is computing; some of that time the server waits for requests.
  const absl::Duration served_waiting = server_->stats().waiting;
  *done->mutable_compute() = ToProto(result.compute - served_waiting);
  *done->mutable_waiting() = ToProto(result.waiting + served_waiting);
  return absl::OkStatus();
}

absl::StatusOr<v1::Committed> ModelMember::Commit(bool checkpoint) {
  awaits_commit_ = false;
  RALLY_RETURN_IF_ERROR(trainer_->Commit());
  v1::Committed committed;
  const int64_t step = trainer_->position().step;
  committed.set_step(step);
  if (checkpoint && assignment_.rank == 0) {
    RALLY_ASSIGN_OR_RETURN(const std::string directory, trainer_->SaveCheckpoint());
    committed.set_checkpoint(directory);
    RALLY_LOG_INFO("wrote the checkpoint of step {} to {}", step, directory);
  }
  if (step == assignment_.spec.training.steps) {
    committed.set_weights_checksum(absl::StrFormat("%016x", trainer_->WeightsChecksum()));
  }
  return committed;
}

}  // namespace

std::unique_ptr<JobMember> MakeModelMember(const MemberResources& resources, JobAssignment assignment,
                                    MemberSwitches switches, PoolFeed* feed) {
  return std::make_unique<ModelMember>(resources, std::move(assignment), std::move(switches), feed);
}

}  // namespace rally
