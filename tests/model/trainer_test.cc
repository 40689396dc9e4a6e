#include "workers/model/trainer.h"

#include <atomic>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/status_macros.h"
#include "tests/model/training_group.h"
#include "workers/transport/in_process_transport.h"

namespace rally::testing {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

const Corpus kCorpus{{40, 1, 63, 24, 130, 17, 5}};

TEST(Trainer, OneWorkerLearns) {
  TrainingGroup group(TinyJob(), kCorpus, ReferenceServices());
  const auto losses = group.TrainUntil(40);
  ASSERT_TRUE(losses.ok()) << losses.status();
  // Untrained logits are close to uniform.
  EXPECT_NEAR(losses->front(), std::log(32.0), 0.1);
  EXPECT_LT(losses->back(), 1.5);
}

TEST(Trainer, Bfloat16FollowsFloat32) {
  JobSpec spec = TinyJob();
  spec.optimizer.learning_rate = 2e-3;
  TrainingGroup exact(spec, kCorpus, AttentionServers());
  spec.training.compute_type = ComputeType::kBfloat16;
  TrainingGroup rounded(spec, kCorpus, AttentionServers());
  const auto expected = exact.TrainUntil(30);
  const auto found = rounded.TrainUntil(30);
  ASSERT_TRUE(expected.ok() && found.ok()) << expected.status() << found.status();
  EXPECT_NE(*expected, *found);
  for (size_t i = 0; i < expected->size(); ++i) {
    // Products of numbers with 8 bits: single terms off by 2^-9, their sums by far less.
    EXPECT_NEAR((*found)[i], (*expected)[i], 0.02 * (*expected)[i]) << "step " << i + 1;
  }
}

// One rank whose service, reader and patience a test chooses.
class LoneTrainer {
 public:
  LoneTrainer(const InPlaceService& service, ReadTokens read_tokens) {
    TrainerOptions options{TinyJob(), 0, 1, 1, absl::Milliseconds(200)};
    auto trainer = MakeTrainer(options, transports_[0].get(), &pool_, collective_.get(),
                               std::move(read_tokens), service);
    EXPECT_TRUE(trainer.ok()) << trainer.status();
    trainer_ = *std::move(trainer);
  }
  Trainer& operator*() { return *trainer_; }
  Trainer* operator->() { return trainer_.get(); }
  absl::StatusOr<RoundResult> RunFirstRound() {
    return trainer_->RunRound(MakePlan(TinyJob(), kCorpus, 1, {}));
  }

 private:
  std::vector<std::unique_ptr<Transport>> transports_ = MakeInProcessTransports(1);
  BufferPool pool_;
  std::unique_ptr<Collective> collective_ = *MakeCollective(0, 1, "", absl::Seconds(1));
  std::unique_ptr<Trainer> trainer_;
};

// Fails in the phase that `layer` and `direction` name; serves nothing.
InPlaceService FailingIn(int32_t layer, Direction direction) {
  InPlaceService service;
  service.post_phase = [=](const Phase& phase) {
    return phase.layer == layer && phase.direction == direction
               ? absl::DataLossError("the kernel is on fire")
               : absl::OkStatus();
  };
  return service;
}

TEST(Trainer, AnErrorOfTheServiceComesBackAsItIs) {
  LoneTrainer trainer(FailingIn(0, Direction::kForward), kCorpus.Reader());
  EXPECT_EQ(trainer.RunFirstRound().status(), absl::DataLossError("the kernel is on fire"));
}

TEST(Trainer, AServerThatDoesNotAnswerIsADeadline) {
  LoneTrainer trainer(InPlaceService(), kCorpus.Reader());
  const absl::Status status = trainer.RunFirstRound().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded) << status;
  EXPECT_THAT(std::string(status.message()), HasSubstr("layer 0 ping forward"));
}

TEST(Trainer, AnErrorInTheBackwardComesBackAsItIs) {
  // The reference serves; its service is made to fail when the backward begins.
  const ServiceMaker services = [](const JobSpec& spec, Transport* transport, BufferPool* pool) {
    RankService rank = ReferenceServices()(spec, transport, pool);
    rank.service.post_phase = FailingIn(1, Direction::kBackward).post_phase;
    return rank;
  };
  TrainingGroup group(TinyJob(), kCorpus, services);
  const absl::Status status = group.TrainUntil(1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
  EXPECT_EQ(group.trainer(0).position().step, 0);
}

TEST(Trainer, AReaderErrorComesBackAsItIs) {
  LoneTrainer trainer(InPlaceService(), [](int64_t, int64_t, absl::Span<int32_t>) {
    return absl::DataLossError("tokens.bin is truncated");
  });
  EXPECT_EQ(trainer.RunFirstRound().status(), absl::DataLossError("tokens.bin is truncated"));
}

TEST(Trainer, OnlyAReadyRoundCanBeCommitted) {
  LoneTrainer trainer(InPlaceService(), kCorpus.Reader());
  EXPECT_EQ(trainer->Commit().code(), absl::StatusCode::kFailedPrecondition);
  TrainingGroup group(TinyJob(), kCorpus, ReferenceServices());
  ASSERT_TRUE(group.Validate().ok());
  EXPECT_EQ(group.trainer(0).Commit().code(), absl::StatusCode::kFailedPrecondition);
}

TEST(Trainer, DivergenceIsAnErrorThatSaysWhatToDo) {
  JobSpec spec = TinyJob();
  spec.optimizer.learning_rate = 1e30;
  spec.optimizer.min_learning_rate = 1e30;
  spec.optimizer.warmup_steps = 0;
  TrainingGroup group(spec, kCorpus, ReferenceServices());
  const absl::Status status = group.TrainUntil(20).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("diverged"), HasSubstr(" of step "),
                                                   HasSubstr("optimizer.learning_rate")));
}

// One number of what the call computes that counts to zero; all ranks count together.
struct Fault {
  std::atomic<int> forward_calls = 0;  // Below zero from the first call on.
  std::atomic<int> backward_calls = 0;
  float out = 0.0f;
  float d_q = 0.0f;
};

class FaultyKernel final : public AttentionKernel {
 public:
  FaultyKernel(std::unique_ptr<AttentionKernel> base, Fault* fault)
      : base_(std::move(base)), fault_(fault) {}

  absl::Status Forward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) override {
    RALLY_RETURN_IF_ERROR(base_->Forward(shape, tasks));
    const VarlenTask* const task = WithTarget(tasks);
    if (task != nullptr && --fault_->forward_calls == 0) task->out[0] = fault_->out;
    return absl::OkStatus();
  }
  absl::Status Backward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) override {
    RALLY_RETURN_IF_ERROR(base_->Backward(shape, tasks));
    const VarlenTask* const task = WithTarget(tasks);
    if (task != nullptr && --fault_->backward_calls == 0) task->d_q[0] = fault_->d_q;
    return absl::OkStatus();
  }
  std::string name() const override { return base_->name(); }

 private:
  // One whose first row has another to predict, and so a part in the loss.
  static const VarlenTask* WithTarget(absl::Span<const VarlenTask> tasks) {
    for (const VarlenTask& task : tasks) {
      if (task.q_rows > 1) return &task;
    }
    return nullptr;
  }

  const std::unique_ptr<AttentionKernel> base_;
  Fault* const fault_;
};

// The fault comes in step 3. Every worker says so by itself, and holds the weights of step 2.
void ExpectDivergence(const Fault& step_3, const std::string& message) {
  JobSpec spec = TinyJob();
  spec.optimizer.gradient_clip = 0.0;
  spec.workers = 2;
  spec.attention = {1, true, 0.05};
  Fault fault;
  TrainingGroup group(spec, kCorpus, AttentionServers(CpuInstructionSet::kBest, [&](auto kernel) {
                        return std::make_unique<FaultyKernel>(std::move(kernel), &fault);
                      }));
  ASSERT_TRUE(group.TrainUntil(2).ok());
  const uint64_t committed = group.trainer(0).WeightsChecksum();
  fault.out = step_3.out;
  fault.d_q = step_3.d_q;
  fault.forward_calls = step_3.forward_calls.load();
  fault.backward_calls = step_3.backward_calls.load();
  EXPECT_FALSE(group.TrainUntil(3).ok());
  for (int32_t rank = 0; rank < spec.workers; ++rank) {
    const absl::Status& status = group.round_status(rank);
    EXPECT_EQ(status.code(), absl::StatusCode::kOutOfRange) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(message));
    EXPECT_EQ(group.trainer(rank).Commit().code(), absl::StatusCode::kFailedPrecondition);
    EXPECT_EQ(group.trainer(rank).position().step, 2);
    EXPECT_EQ(group.trainer(rank).WeightsChecksum(), committed);
  }
  EXPECT_TRUE(group.round_status(spec.workers).ok()) << group.round_status(spec.workers);
}

TEST(Trainer, OneNanOfOneServerEndsTheJobOnEveryRankAndChangesNoWeight) {
  Fault fault;
  fault.forward_calls = 3;
  fault.out = std::numeric_limits<float>::quiet_NaN();
  ExpectDivergence(fault, "the loss of step 3 is nan");
}

// Finite, but its square is not, which the optimizer would keep.
TEST(Trainer, AGradientWhoseSquareOverflowsIsNotApplied) {
  Fault fault;
  fault.backward_calls = 3;
  fault.d_q = 1e25f;
  ExpectDivergence(fault, "the gradient norm of step 3 is ");
}

}  // namespace
}  // namespace rally::testing
