#include "workers/model/trainer.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

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
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("diverged"), HasSubstr("optimizer.learning_rate")));
}

}  // namespace
}  // namespace rally::testing
