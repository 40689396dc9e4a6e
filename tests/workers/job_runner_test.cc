// One member led through a job by a scripted coordinator.
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/host.h"
#include "tests/workers/job_runner_fixture.h"

namespace rally {
namespace {

using ::testing::HasSubstr;
using testing::JobRunnerTest;

TEST_F(JobRunnerTest, RunsAJobFromPrepareToReleased) {
  EXPECT_EQ(BringUp(1), 0);
  EXPECT_TRUE(runner_->held().has_value());
  EXPECT_FALSE(TrainFrom(1, 0, {}).empty());
  Release(1, /*abort=*/false);
  EXPECT_EQ(Answer().released().job().job_id(), "job");
  EXPECT_TRUE(runner_->AwaitIdle(absl::Now() + kPatience));
}

TEST_F(JobRunnerTest, AnotherEpochContinuesFromTheCheckpointBitForBit) {
  EXPECT_EQ(BringUp(1), 0);
  const std::string whole = TrainFrom(1, 0, {});
  Release(1, false);
  EXPECT_TRUE(Answer().has_released());

  spec_.checkpoint.directory = directory_.path("other-checkpoints");
  EXPECT_EQ(BringUp(2), 0);
  const DataPosition after_one = SendPlan(2, 0, 1, {});
  EXPECT_TRUE(Answer().has_round_done());
  Commit(2, 0, /*checkpoint=*/true);
  // The step is committed and the checkpoint written, in either order.
  v1::MemberMessage committed = Answer();
  v1::MemberMessage written = Answer();
  if (!committed.has_committed()) std::swap(committed, written);
  EXPECT_EQ(committed.committed().step(), 1) << committed.DebugString();
  EXPECT_EQ(written.checkpoint_written().job().epoch(), 2) << written.DebugString();
  EXPECT_EQ(written.checkpoint_written().step(), 1);
  EXPECT_EQ(written.checkpoint_written().code(), 0);
  EXPECT_THAT(written.checkpoint_written().directory(), HasSubstr("step-00000001"));
  Release(2, true);
  EXPECT_TRUE(Answer().has_released());

  EXPECT_EQ(BringUp(3, /*restore=*/true), 1);
  EXPECT_EQ(TrainFrom(3, 1, after_one), whole);
}

// Plans may be large, and two of them no message: of rounds that are over their work is not told.
TEST_F(JobRunnerTest, ReportsItsLastRoundsToACoordinatorThatWasRestarted) {
  EXPECT_EQ(BringUp(1), 0);
  const DataPosition second = SendPlan(1, 0, 1, {});
  EXPECT_TRUE(Answer().has_round_done());
  Commit(1, 0, false);
  EXPECT_TRUE(Answer().has_committed());
  SendPlan(1, 1, 1, second, PlanKind::kValidate);
  const v1::RoundDone validated = Answer().round_done();
  EXPECT_EQ(validated.round(), 1);
  SendPlan(1, 2, 2, second);
  EXPECT_EQ(Answer().round_done().round(), 2);
  v1::CoordinatorMessage message;
  *message.mutable_regroup()->mutable_job() = Epoch(1);
  message.mutable_regroup()->set_epoch(2);
  message.mutable_regroup()->set_ranks(1);
  message.mutable_regroup()->set_report(true);
  runner_->Handle(message);
  const v1::Standing standing = Answer().prepared().standing();
  EXPECT_EQ(standing.step(), 1);
  EXPECT_EQ(standing.current().plan().round(), 2);
  EXPECT_GT(standing.current().plan().micro_batches_size(), 0);
  EXPECT_EQ(standing.last().committed().step(), 1);
  EXPECT_EQ(standing.last().plan().micro_batches_size(), 0);
  EXPECT_GT(standing.last().plan().documents().tokens_size(), 0);
  EXPECT_EQ(standing.validated().plan().round(), 1);
  EXPECT_EQ(standing.validated().plan().kind(), v1::PLAN_KIND_VALIDATE);
  EXPECT_EQ(standing.validated().plan().micro_batches_size(), 0);
  EXPECT_EQ(standing.validated().done().loss(), validated.loss());
}

TEST_F(JobRunnerTest, APlanAheadWaitsForTheCommit) {
  EXPECT_EQ(BringUp(1), 0);
  const DataPosition second = SendPlan(1, 0, 1, {});
  SendPlan(1, 1, 2, second);
  EXPECT_EQ(Answer().round_done().round(), 0);
  Commit(1, 5, false);  // Of no round that is awaited.
  Commit(1, 0, false);
  EXPECT_EQ(Answer().committed().round(), 0);
  EXPECT_EQ(Answer().round_done().round(), 1);
}

TEST_F(JobRunnerTest, DropsMessagesOfOtherEpochsAndAnswersEveryRelease) {
  EXPECT_EQ(BringUp(2), 0);
  SendPlan(1, 0, 1, {});
  Commit(1, 0, false);
  Release(1, true);
  const v1::MemberMessage stale = Answer();
  EXPECT_EQ(stale.released().job().epoch(), 1);
  EXPECT_EQ(runner_->held()->epoch(), 2);
  SendPlan(2, 0, 1, {});
  EXPECT_EQ(Answer().round_done().job().epoch(), 2);
}

TEST_F(JobRunnerTest, ANewerEpochTakesOver) {
  EXPECT_EQ(BringUp(1), 0);
  SendPlan(1, 0, 1, {});
  EXPECT_TRUE(Answer().has_round_done());
  EXPECT_EQ(BringUp(2), 0);
  EXPECT_EQ(runner_->held()->epoch(), 2);
}

TEST_F(JobRunnerTest, ReportsWhatIsWrongWithTheDataAndWaitsForItsRelease) {
  spec_.data.path = directory_.path("nothing-here");
  Prepare(1);
  const v1::MemberMessage failed = Answer();
  ASSERT_TRUE(failed.has_failed()) << failed.DebugString();
  EXPECT_EQ(failed.failed().code(), static_cast<int>(absl::StatusCode::kNotFound));
  EXPECT_THAT(failed.failed().message(), HasSubstr("data.path"));
  EXPECT_TRUE(runner_->held().has_value());
  Release(1, true);
  EXPECT_TRUE(Answer().has_released());
  EXPECT_FALSE(runner_->held().has_value());
}

TEST_F(JobRunnerTest, RefusesABadPlanAsTheCoordinatorsDefect) {
  EXPECT_EQ(BringUp(1), 0);
  std::shared_ptr<Plan> plan = testing::MakePlan(spec_, corpus_, 1, {});
  plan->round = 0;
  plan->micro_batches[0].tasks[0].pop_back();
  v1::CoordinatorMessage message;
  *message.mutable_plan()->mutable_job() = Epoch(1);
  *message.mutable_plan()->mutable_plan() = ToProto(*plan);
  runner_->Handle(message);
  const v1::MemberMessage failed = Answer();
  ASSERT_TRUE(failed.has_failed()) << failed.DebugString();
  EXPECT_EQ(failed.failed().code(), static_cast<int>(absl::StatusCode::kInternal));
}

TEST_F(JobRunnerTest, RefusesADirectoryOfAnotherJobsCheckpoints) {
  EXPECT_EQ(BringUp(1), 0);
  SendPlan(1, 0, 1, {});
  EXPECT_TRUE(Answer().has_round_done());
  Commit(1, 0, /*checkpoint=*/true);
  Release(1, false);  // In peace: the checkpoint is finished.
  for (int i = 0; i < 2; ++i) EXPECT_FALSE(Answer().has_released());  // Committed and written.
  EXPECT_TRUE(Answer().has_released());
  // In a later epoch, too: they are the job's own when the coordinator says so.
  for (const uint32_t epoch : {1, 2}) {
    Prepare(epoch);
    const v1::MemberMessage failed = Answer();
    ASSERT_TRUE(failed.has_failed()) << failed.DebugString();
    EXPECT_EQ(failed.failed().code(), static_cast<int>(absl::StatusCode::kFailedPrecondition));
    Release(epoch, true);
    EXPECT_TRUE(Answer().has_released());
  }
  EXPECT_EQ(BringUp(3, /*restore=*/true), 1);
}

TEST_F(JobRunnerTest, OnlyTheJobFileOrTheCoordinatorLetsAMemberRestore) {
  v1::Prepare prepare;
  *prepare.mutable_job() = Epoch(2);
  prepare.set_ranks(1);
  for (const bool resume : {false, true}) {
    spec_.checkpoint.resume = resume;
    *prepare.mutable_spec() = ToProto(spec_);
    for (const bool restore : {false, true}) {
      prepare.set_restore(restore);
      const auto assignment = ReadAssignment(prepare, v1::MEMBER_ROLE_MODEL);
      ASSERT_TRUE(assignment.ok()) << assignment.status();
      EXPECT_EQ(assignment->restore, resume || restore);
    }
  }
}

TEST_F(JobRunnerTest, PassesOverADamagedCheckpointAndSaysSo) {
  spec_.checkpoint.keep = 2;
  EXPECT_EQ(BringUp(1), 0);
  DataPosition position;
  for (int64_t round = 0; round < 2; ++round) {
    position = SendPlan(1, round, round + 1, position);
    Commit(1, round, /*checkpoint=*/true);
    // Done, committed, written.
    for (int i = 0; i < 3; ++i) EXPECT_FALSE(Answer().has_failed());
  }
  Release(1, false);
  EXPECT_TRUE(Answer().has_released());
  const std::string newest = spec_.checkpoint.directory + "/step-00000002";
  std::filesystem::resize_file(newest + "/optimizer.safetensors", 100);
  Prepare(2, /*restore=*/true);
  const v1::MemberMessage prepared = Answer();
  ASSERT_TRUE(prepared.has_prepared()) << prepared.DebugString();
  Connect(2, prepared.prepared());
  const v1::CheckpointWritten damaged = Answer().checkpoint_written();
  EXPECT_EQ(damaged.step(), 2);
  EXPECT_EQ(damaged.code(), static_cast<int>(absl::StatusCode::kDataLoss));
  EXPECT_THAT(damaged.message(), HasSubstr(newest + "/optimizer.safetensors is damaged"));
  EXPECT_THAT(damaged.message(), HasSubstr("set aside as " + newest + ".damaged"));
  EXPECT_THAT(damaged.directory(), HasSubstr("step-00000001"));
  EXPECT_EQ(Answer().ready().step(), 1);
}

// As on a host where the file system is not mounted.
TEST_F(JobRunnerTest, DoesNotBeginAnewWhereACheckpointIsMissing) {
  Prepare(2, /*restore=*/true, /*checkpoint_step=*/30);
  const v1::MemberMessage failed = Answer();
  ASSERT_TRUE(failed.has_failed()) << failed.DebugString();
  EXPECT_EQ(failed.failed().code(), static_cast<int>(absl::StatusCode::kUnavailable));
  EXPECT_THAT(failed.failed().message(), HasSubstr(spec_.checkpoint.directory));
  EXPECT_THAT(failed.failed().message(), HasSubstr("step 30"));
  EXPECT_THAT(failed.failed().message(), HasSubstr(MachineName()));
  EXPECT_FALSE(std::filesystem::exists(spec_.checkpoint.directory));
}

// Whoever looked before may have seen it.
TEST_F(JobRunnerTest, DoesNotBeginAnewWhereACheckpointHasGone) {
  const std::string newest = spec_.checkpoint.directory + "/step-00000030";
  std::filesystem::create_directories(newest);
  Prepare(2, /*restore=*/true, /*checkpoint_step=*/30);
  const v1::MemberMessage prepared = Answer();
  ASSERT_TRUE(prepared.has_prepared()) << prepared.DebugString();
  std::filesystem::remove(newest);
  Connect(2, prepared.prepared());
  const v1::MemberMessage failed = Answer();
  ASSERT_TRUE(failed.has_failed()) << failed.DebugString();
  EXPECT_EQ(failed.failed().code(), static_cast<int>(absl::StatusCode::kUnavailable));
  EXPECT_THAT(failed.failed().message(), HasSubstr("step 30"));
}

class NoOtherPool final : public PoolFeed {
  void ReportTrouble(const std::string& /*what*/) override {}
  absl::StatusOr<std::optional<v1::PlanMessage>> AwaitPlan(
      const absl::Status& cause, const v1::Standing& /*standing*/) override {
    return cause;
  }
};

// A release may come before the thread has got to the Prepare, or while it is at it.
TEST_F(JobRunnerTest, AMemberStoppedBeforeItIsPreparedIsPreparedInVain) {
  spec_.workers = 2;
  v1::Prepare prepare;
  *prepare.mutable_job() = Epoch(1);
  *prepare.mutable_spec() = ToProto(spec_);
  prepare.set_ranks(spec_.topology().ranks());
  prepare.set_single_host(true);
  const auto assignment = ReadAssignment(prepare, v1::MEMBER_ROLE_MODEL);
  ASSERT_TRUE(assignment.ok()) << assignment.status();
  AbortSwitch abort;
  const auto pool = std::make_shared<AbortSwitch>();
  for (AbortSwitch* stop : {&abort, pool.get()}) stop->Abort(absl::CancelledError("released"));
  NoOtherPool feed;
  const auto member = MakeModelMember(resources_, *assignment, {&abort, pool}, &feed);
  const auto prepared = member->Prepare();
  ASSERT_TRUE(prepared.ok()) << prepared.status();
  v1::Connect connect;
  for (int rank = 0; rank < 2; ++rank) {
    connect.add_transport_addresses(prepared->transport_address());
  }
  EXPECT_EQ(member->Connect(connect).status(), absl::CancelledError("released"));
}

TEST_F(JobRunnerTest, StopEndsAJobThatIsHeld) {
  EXPECT_EQ(BringUp(1), 0);
  SendPlan(1, 0, 1, {});
  EXPECT_TRUE(runner_->Stop(absl::CancelledError("enough"), absl::Now() + kPatience));
}

}  // namespace
}  // namespace rally
