// A member that holds the model's layers, and serves core attention in place: see job_member.h.
#include <optional>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>

#include "common/dataset.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "proto/wire_text.h"
#include "workers/dataset_check.h"
#include "workers/job_member.h"
#include "workers/model/checkpoint_directory.h"
#include "workers/model/checkpoint_run.h"
#include "workers/model/checkpoint_writer.h"
#include "workers/model/collective.h"
#include "workers/model/trainer.h"

namespace rally {
namespace {

constexpr absl::Duration kPatience = absl::Minutes(1);  // With a checkpoint, when leaving.
constexpr size_t kLongestMessage = 8192;                // Bytes.

class ModelMember final : public JobMember {
 public:
  using JobMember::JobMember;
  // Nothing may be told to abort once its destruction has begun. A member that leaves in peace
  // finishes its checkpoint.
  ~ModelMember() override {
    if (writer_ != nullptr && abort_.status().ok()) writer_->AwaitIdle(absl::Now() + kPatience);
    abort_.Clear();
  }

  bool AwaitsCommit() const override { return awaits_commit_; }
  void AddReport(v1::Standing* standing) const override {
    absl::MutexLock lock(&mutex_);
    standing->set_saving(saving_);
    if (saved_.has_job()) *standing->mutable_saved() = saved_;
  }
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
  absl::Status MakeWriter();
  void SetAside(const RestoredCheckpoint& restored);
  void ReportCheckpoint(const CheckpointOutcome& outcome);

  std::unique_ptr<Dataset> dataset_;
  std::unique_ptr<DatasetCheck> dataset_check_;  // Of rank 0, for all.
  int64_t vocabulary_ = 0;
  std::unique_ptr<Rendezvous> rendezvous_;  // Of rank 0.
  std::unique_ptr<Collective> collective_;
  std::unique_ptr<Trainer> trainer_;
  bool awaits_commit_ = false;

  // Checkpoints, as the writer's thread knows them. The run's first epoch stands for all of it.
  const uint32_t first_epoch_ = assignment_.epoch;
  mutable absl::Mutex mutex_;
  int64_t saving_ ABSL_GUARDED_BY(mutex_) = 0;
  v1::CheckpointWritten saved_ ABSL_GUARDED_BY(mutex_);
  // Of a job with checkpoints, after Connect. The first to go: its thread reports with the above.
  std::unique_ptr<CheckpointWriter> writer_;
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
  dataset_check_ = std::make_unique<DatasetCheck>(dataset_.get());
  CheckpointSpec checkpoint = assignment_.spec.checkpoint;
  checkpoint.resume = assignment_.restore;
  RALLY_RETURN_IF_ERROR(CheckCheckpointDirectory(checkpoint, assignment_.checkpoint_step));
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
  RALLY_RETURN_IF_ERROR(MakeWriter());
  if (assignment_.restore) RALLY_RETURN_IF_ERROR(Restore());
  ready->set_step(trainer_->position().step);
  *ready->mutable_position() = ToProto(trainer_->position().data);
  return absl::OkStatus();
}

absl::Status ModelMember::MakeWriter() {
  if (assignment_.spec.checkpoint.directory.empty()) return absl::OkStatus();
  CheckpointWriterOptions options;
  options.spec = assignment_.spec;
  options.spec.model.vocabulary = vocabulary_;
  options.rank = assignment_.rank;
  RALLY_ASSIGN_OR_RETURN(options.run, AgreeOnCheckpointRun(collective_.get()));
  writer_ = std::make_unique<CheckpointWriter>(
      std::move(options), [this](const CheckpointOutcome& outcome) { ReportCheckpoint(outcome); });
  abort_.Add([this](const absl::Status& error) { writer_->Abort(error); });
  return absl::OkStatus();
}

absl::Status ModelMember::Restore() {
  if (assignment_.spec.checkpoint.directory.empty()) return absl::OkStatus();
  const absl::StatusOr<RestoredCheckpoint> restored = trainer_->Restore();
  if (absl::IsNotFound(restored.status())) {
    const int64_t known = assignment_.checkpoint_step;
    return known == 0 ? absl::OkStatus() : CheckpointMissing(assignment_.spec.checkpoint, known);
  }
  RALLY_RETURN_IF_ERROR(restored.status());
  if (!restored->damaged.empty() && assignment_.rank == 0) SetAside(*restored);
  RALLY_LOG_INFO("continuing from the checkpoint of step {}", restored->position.step);
  return absl::OkStatus();
}

// Others that still look for the newest one that is whole come to the same: it was damaged to them.
void ModelMember::SetAside(const RestoredCheckpoint& restored) {
  std::string message = absl::StrCat(restored.damage, "; continuing from step ",
                                     restored.position.step, ", which is whole");
  for (const int64_t step : restored.damaged) {
    const auto aside = SetCheckpointAside(assignment_.spec.checkpoint, step);
    absl::StrAppend(
        &message, "; ",
        aside.ok() ? absl::StrCat("set aside as ", *aside) : std::string(aside.status().message()));
  }
  RALLY_LOG_WARN("{}", message);
  ReportCheckpoint({restored.damaged[0], restored.directory, absl::DataLossError(message)});
}

void ModelMember::ReportCheckpoint(const CheckpointOutcome& outcome) {
  if (resources_.outbox == nullptr) return;
  v1::MemberMessage message;
  v1::CheckpointWritten* written = message.mutable_checkpoint_written();
  written->mutable_job()->set_job_id(assignment_.job_id);
  written->mutable_job()->set_epoch(first_epoch_);
  written->set_step(outcome.step);
  written->set_directory(outcome.directory);
  written->set_code(outcome.status.raw_code());
  written->set_message(WireText(outcome.status.message(), kLongestMessage));
  {
    absl::MutexLock lock(&mutex_);
    if (saving_ == outcome.step) saving_ = 0;
    saved_ = *written;
  }
  if (!resources_.outbox->Put(std::move(message))) {
    RALLY_LOG_WARN("the outbox is full or closed");
  }
}

absl::Status ModelMember::RunPlan(std::shared_ptr<const Plan> plan,
                                  const CollectedPhases& collected, v1::RoundDone* done) {
  if (awaits_commit_) return absl::InternalError("a plan came before the commit of the last one");
  const bool train = plan->kind == PlanKind::kTrain;
  RALLY_ASSIGN_OR_RETURN(const RoundResult result, trainer_->RunRound(std::move(plan), collected));
  awaits_commit_ = train;
  if (dataset_check_ != nullptr) {
    RALLY_RETURN_IF_ERROR(Annotate(dataset_check_->status(), "data.path"));
  }
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
  if (checkpoint && writer_ != nullptr) {
    {
      absl::MutexLock lock(&mutex_);
      if (assignment_.rank == 0) saving_ = step;
    }
    RALLY_RETURN_IF_ERROR(writer_->Start(trainer_->arrays(), trainer_->position()));
  }
  if (step == assignment_.spec.training.steps) {
    committed.set_weights_checksum(absl::StrFormat("%016x", trainer_->WeightsChecksum()));
  }
  return committed;
}

}  // namespace

std::unique_ptr<JobMember> MakeModelMember(const MemberResources& resources,
                                           JobAssignment assignment, MemberSwitches switches,
                                           PoolFeed* feed) {
  return std::make_unique<ModelMember>(resources, std::move(assignment), std::move(switches), feed);
}

}  // namespace rally
