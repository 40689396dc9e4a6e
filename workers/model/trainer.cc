#include "workers/model/trainer.h"

#include <cmath>
#include <limits>
#include <thread>
#include <utility>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <torch/csrc/autograd/autograd.h>
#include <xxhash.h>

#include "common/check.h"
#include "common/cores.h"
#include "common/status_macros.h"
#include "workers/model/adamw.h"
#include "workers/model/remote_attention.h"
#include "workers/model/status_error.h"
#include "workers/model/transformer.h"
#include "workers/model/weights.h"

namespace rally {
namespace {

absl::Span<float> Floats(const at::Tensor& flat) {
  return {flat.data_ptr<float>(), static_cast<size_t>(flat.numel())};
}

at::Tensor InitialValues(const JobSpec& spec) {
  const WeightLayout layout = LayOutWeights(spec.model);
  const at::Tensor values = at::empty({layout.elements}, at::TensorOptions().dtype(at::kFloat));
  InitializeWeights(layout, spec.training.seed, Floats(values));
  return values;
}

at::ScalarType ComputeTypeOf(const JobSpec& spec) {
  return spec.training.compute_type == ComputeType::kBfloat16 ? at::kBFloat16 : at::kFloat;
}

class TrainerImpl final : public Trainer {
 public:
  TrainerImpl(const TrainerOptions& options, Transport* transport, BufferPool* pool,
              Collective* collective, ReadTokens read_tokens, InPlaceService service,
              const DecorateCoreAttention& decorate)
      : options_(options),
        threads_(options.threads > 0 ? options.threads : UsableCores()),
        collective_(collective),
        read_tokens_(std::move(read_tokens)),
        weights_(options.spec.model, InitialValues(options.spec), ComputeTypeOf(options.spec)),
        transformer_(options.spec.model, &weights_),
        attention_({options.spec.model, options.spec.attention_element(), options.rank,
                    options.epoch, options.phase_timeout},
                   transport, pool, std::move(service)),
        decorated_attention_(decorate ? decorate(&attention_) : nullptr),
        optimizer_(options.spec.optimizer, &weights_.layout()) {}

  absl::StatusOr<RestoredCheckpoint> Restore() override;
  absl::StatusOr<RoundResult> RunRound(std::shared_ptr<const Plan> plan,
                                       const CollectedPhases& collected) override;
  void UsePool(Transport* transport, uint32_t epoch) override {
    attention_.UsePool(transport, epoch);
  }
  absl::Status Commit() override;
  CheckpointArrays arrays() override;
  uint64_t WeightsChecksum() const override;
  TrainingPosition position() const override { return position_; }

 private:
  absl::StatusOr<MicroBatchRows> ReadMicroBatch(const Plan& plan, size_t index) const;
  double RunMicroBatch(const MicroBatchRows& rows, bool train, int64_t targets);
  absl::StatusOr<double> RunMicroBatches(const Plan& plan);
  template <typename T>
  absl::Status Reduce(absl::Span<T> values);
  absl::Status CheckLoss(int64_t step, double loss) const;
  absl::Status ReduceGradients(int64_t step, RoundResult* result);

  const TrainerOptions options_;
  const int threads_;
  Collective* const collective_;
  const ReadTokens read_tokens_;
  Weights weights_;
  Transformer transformer_;
  RemoteAttention attention_;
  const std::unique_ptr<CoreAttention> decorated_attention_;  // Null when there is no decorator.
  AdamW optimizer_;
  TrainingPosition position_;
  std::shared_ptr<const Plan> ready_;  // Training plan whose gradients wait for Commit.
  RoundResult ready_result_;
  absl::Duration reducing_;  // Time in collectives this round.
};

// One round, top to bottom. Exceptions of LibTorch and of autograd functions end here.
absl::StatusOr<RoundResult> TrainerImpl::RunRound(std::shared_ptr<const Plan> plan,
                                                  const CollectedPhases& collected) {
  const absl::Time start = absl::Now();
  ready_ = nullptr;
  reducing_ = absl::ZeroDuration();
  const bool train = plan->kind == PlanKind::kTrain;
  RoundResult result;
  try {
    // OpenMP keeps the number by calling thread. Setting it starts pools anew, whose threads spin.
    if (at::get_num_threads() != threads_) at::set_num_threads(threads_);
    if (train) weights_.ClearGradients();
    attention_.BeginRound(plan, collected);
    RALLY_ASSIGN_OR_RETURN(const double loss_sum, RunMicroBatches(*plan));
    RALLY_RETURN_IF_ERROR(attention_.EndRound());
    result.loss = loss_sum / static_cast<double>(std::max<int64_t>(1, TargetCount(*plan)));
    RALLY_RETURN_IF_ERROR(CheckLoss(plan->step, result.loss));
    if (train) RALLY_RETURN_IF_ERROR(ReduceGradients(plan->step, &result));
  } catch (const StatusError& error) {
    return error.status();
  } catch (const std::exception& error) {
    return absl::InternalError(absl::StrCat("step ", plan->step, ": ", error.what()));
  }
  if (train) {
    result.learning_rate =
        LearningRateAt(options_.spec.optimizer, options_.spec.training.steps, plan->step);
    ready_ = std::move(plan);
  }
  result.waiting = attention_.waiting() + reducing_;
  result.compute = absl::Now() - start - result.waiting;
  ready_result_ = result;
  return result;
}

// The summed loss of all workers' targets.
absl::StatusOr<double> TrainerImpl::RunMicroBatches(const Plan& plan) {
  const bool train = plan.kind == PlanKind::kTrain;
  const int64_t targets = TargetCount(plan);
  double all = 0.0;
  double own = 0.0;
  for (size_t m = 0; m < plan.micro_batches.size(); ++m) {
    RALLY_ASSIGN_OR_RETURN(const MicroBatchRows rows, ReadMicroBatch(plan, m));
    own += RunMicroBatch(rows, train, targets);
    // Workers that meet after each micro-batch of a validation are never further apart.
    if (train && m + 1 < plan.micro_batches.size()) continue;
    RALLY_RETURN_IF_ERROR(Reduce(absl::MakeSpan(&own, 1)));
    all += std::exchange(own, 0.0);
  }
  return all;
}

absl::StatusOr<MicroBatchRows> TrainerImpl::ReadMicroBatch(const Plan& plan, size_t index) const {
  const MicroBatch& micro_batch = plan.micro_batches[index];
  MicroBatchRows rows;
  rows.index = static_cast<int32_t>(index);
  for (int nano = 0; nano < kNanoBatches; ++nano) {
    rows.in_use[nano] = NanoBatchInUse(micro_batch, nano);
    RALLY_ASSIGN_OR_RETURN(rows.rows[nano],
                           ReadTokenRows(plan, micro_batch.chunks[options_.rank].nano_batches[nano],
                                         options_.spec.model.vocabulary, read_tokens_));
  }
  return rows;
}

// Sum of the losses of this rank's targets; for training also adds the gradients of the mean.
double TrainerImpl::RunMicroBatch(const MicroBatchRows& rows, bool train, int64_t targets) {
  at::AutoGradMode grad_mode(train);
  CoreAttention* const attention =
      decorated_attention_ != nullptr ? decorated_attention_.get() : &attention_;
  const at::Tensor loss = transformer_.Loss(rows, attention);
  if (train && loss.requires_grad()) {
    const double share = 1.0 / static_cast<double>(std::max<int64_t>(1, targets));
    torch::autograd::backward({loss}, {at::full_like(loss, share)});
  }
  return loss.item<double>();
}

// Reduces on a thread of its own: until all workers are here, others may need this one's rows, or
// its service, or just its word on a change of the pool.
template <typename T>
absl::Status TrainerImpl::Reduce(absl::Span<T> values) {
  const absl::Time start = absl::Now();
  absl::Status reduced;
  absl::Notification done;
  std::thread reducer([&] {
    reduced = collective_->AllReduceSum(values);
    done.Notify();
  });
  const absl::Status served = attention_.ServeWhile(&done);
  if (!served.ok()) collective_->Abort(served);
  reducer.join();
  reducing_ += absl::Now() - start;
  return served.ok() ? reduced : served;
}

absl::Status TrainerImpl::CheckLoss(int64_t step, double loss) const {
  if (std::isfinite(loss)) return absl::OkStatus();
  return absl::OutOfRangeError(absl::StrCat("training diverged: the loss of step ", step, " is ",
                                            loss, "; lower optimizer.learning_rate"));
}

absl::Status TrainerImpl::ReduceGradients(int64_t step, RoundResult* result) {
  const absl::Span<float> gradients = Floats(weights_.gradients());
  RALLY_RETURN_IF_ERROR(Reduce(gradients));
  result->gradient_norm = EuclideanNorm(gradients);
  // The optimizer's moments are float32: a square that overflows would stay there for ever.
  const double largest = std::sqrt(std::numeric_limits<float>::max());
  const double applied =
      result->gradient_norm *
      ClippingScale(result->gradient_norm, options_.spec.optimizer.gradient_clip);
  if (applied < largest) return absl::OkStatus();  // Not so for NaN.
  return absl::OutOfRangeError(absl::StrCat("training diverged: the gradient norm of step ", step,
                                            " is ", result->gradient_norm,
                                            "; lower optimizer.learning_rate"));
}

absl::Status TrainerImpl::Commit() {
  if (ready_ == nullptr) {
    return absl::FailedPreconditionError("no training round is ready to be committed");
  }
  const double scale =
      ClippingScale(ready_result_.gradient_norm, options_.spec.optimizer.gradient_clip);
  optimizer_.Step(ready_->step, ready_result_.learning_rate, scale, Floats(weights_.gradients()),
                  Floats(weights_.values()));
  weights_.ValuesChanged();
  position_ = {ready_->step, ready_->next_position};
  ready_ = nullptr;
  return absl::OkStatus();
}

CheckpointArrays TrainerImpl::arrays() {
  return {Floats(weights_.values()), optimizer_.first_moment(), optimizer_.second_moment()};
}

absl::StatusOr<RestoredCheckpoint> TrainerImpl::Restore() {
  RALLY_ASSIGN_OR_RETURN(RestoredCheckpoint restored,
                         ReadNewestCheckpoint(options_.spec, weights_.layout(), arrays()));
  position_ = restored.position;
  weights_.ValuesChanged();
  return restored;
}

uint64_t TrainerImpl::WeightsChecksum() const {
  const absl::Span<const float> values = Floats(weights_.values());
  return XXH3_64bits(values.data(), values.size() * sizeof(float));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const TrainerOptions& options,
                                                     Transport* transport, BufferPool* pool,
                                                     Collective* collective, ReadTokens read_tokens,
                                                     InPlaceService service,
                                                     const DecorateCoreAttention& decorate) {
  if (options.spec.model.vocabulary < 1) {
    return absl::InvalidArgumentError("model.vocabulary must be set before training");
  }
  if (collective->ranks() != options.spec.workers || collective->rank() != options.rank) {
    return absl::InvalidArgumentError(
        absl::StrCat("worker ", options.rank, " of ", options.spec.workers,
                     " got the collective of ", collective->rank(), " of ", collective->ranks()));
  }
  try {
    return std::make_unique<TrainerImpl>(options, transport, pool, collective,
                                         std::move(read_tokens), std::move(service), decorate);
  } catch (const std::exception& error) {
    return absl::InternalError(error.what());
  }
}

}  // namespace rally
