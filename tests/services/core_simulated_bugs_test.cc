// What simulations have found in the core (tests/simulation): taking jobs back from members that
// stand apart, or that say things twice or early.
#include <cstdint>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/convert.h"
#include "tests/services/core_harness.h"

namespace rally {
namespace {

using testing::ElementsAre;
using testing::SizeIs;
using Message = v1::CoordinatorMessage;

constexpr SessionId kA = 50;
constexpr SessionId kB = 51;

class CoreSimulatedBugsTest : public testing::Test {
 protected:
  // A job of two workers, in epochs 2 to 4 of its run, with step 4 recorded. Round 4 is step 5.
  void Recover(JobSpec spec) {
    StoredJob stored;
    stored.job.set_job_id("job");
    *stored.job.mutable_spec() = ToProto(spec);
    stored.job.mutable_status()->set_phase(v1::JOB_PHASE_RUNNING);
    stored.job.mutable_status()->set_run_epoch(2);
    stored.job.mutable_status()->set_epoch(4);
    stored.job.mutable_status()->set_step(4);
    core_.Apply(rally::Recover{{stored}});
  }
  void RecoverWithWorkers(JobSpec spec) {
    Recover(std::move(spec));
    Hello(kA, 4, 0);
    Hello(kB, 4, 1);
    core_.Pass(absl::Seconds(1));
    ASSERT_THAT(core_.Sent(kA, Message::kRegroup), SizeIs(1));
  }

  void Hello(SessionId session, uint32_t epoch, int32_t rank) {
    MemberHello hello;
    hello.session = session;
    hello.hello.set_member_id(Id(session));
    hello.hello.set_role(v1::MEMBER_ROLE_MODEL);
    hello.hello.mutable_current()->set_job_id("job");
    hello.hello.mutable_current()->set_epoch(epoch);
    hello.hello.set_rank(rank);
    core_.Apply(hello);
  }
  void Say(SessionId session, v1::MemberMessage message) {
    core_.Apply(MemberSaid{session, Id(session), std::move(message)});
  }
  void SayStanding(SessionId session, const v1::Standing& standing) {
    v1::MemberMessage message;
    *message.mutable_prepared()->mutable_job() = Epoch(5);
    *message.mutable_prepared()->mutable_standing() = standing;
    Say(session, std::move(message));
  }
  void SaySaved(SessionId session, int64_t step) {
    v1::MemberMessage message;
    *message.mutable_checkpoint_written() = Saved(step);
    Say(session, std::move(message));
  }

  static std::string Id(SessionId session) { return session == kA ? "a" : "b"; }
  static v1::JobEpoch Epoch(uint32_t epoch) {
    v1::JobEpoch message;
    message.set_job_id("job");
    message.set_epoch(epoch);
    return message;
  }
  static v1::CheckpointWritten Saved(int64_t step) {
    v1::CheckpointWritten saved;
    *saved.mutable_job() = Epoch(2);
    saved.set_step(step);
    saved.set_directory("checkpoints/" + std::to_string(step));
    return saved;
  }
  static JobSpec Spec(int64_t steps) {
    JobSpec spec = CoreHarness::Spec(2, 0, steps);
    spec.attention.in_place = true;
    spec.checkpoint.directory = "checkpoints";
    return spec;
  }
  static v1::RoundRecord Begun(int64_t round) {
    v1::RoundRecord record;
    record.mutable_plan()->set_round(round);
    record.mutable_plan()->set_step(round + 1);
    record.mutable_plan()->set_kind(v1::PLAN_KIND_TRAIN);
    record.mutable_plan()->mutable_next_position()->set_index(round + 1);
    return record;
  }
  static v1::RoundRecord Done(int64_t round) {
    v1::RoundRecord record = Begun(round);
    record.mutable_done()->set_round(round);
    record.mutable_done()->set_loss(1.0);
    return record;
  }
  static v1::RoundRecord Committed(int64_t round) {
    v1::RoundRecord record = Done(round);
    record.mutable_committed()->set_round(round);
    record.mutable_committed()->set_step(round + 1);
    return record;
  }
  // At `round`, which is not begun, and `step`.
  static v1::Standing Before(int64_t round, int64_t step) {
    v1::Standing standing;
    standing.set_round(round);
    standing.set_step(step);
    return standing;
  }
  // Has finished round 4 and waits for its commit.
  static v1::Standing AwaitingCommit() {
    v1::Standing standing = Before(4, 4);
    standing.set_begun(true);
    standing.set_complete(true);
    *standing.mutable_current() = Done(4);
    return standing;
  }
  static v1::Standing Within(int64_t round, int64_t collected) {
    v1::Standing standing = Before(round, round);
    standing.set_begun(true);
    standing.set_collected(collected);
    *standing.mutable_current() = Begun(round);
    return standing;
  }

  CoreHarness core_;
};

TEST_F(CoreSimulatedBugsTest, AMemberIsReleasedByTheEpochThatItKnows) {
  Recover(Spec(9));
  Hello(kA, 3, 0);  // Epoch 4 was recorded; nobody had been told when the coordinator stopped.
  v1::MemberMessage heartbeat;
  heartbeat.mutable_heartbeat();
  for (int second = 0; second < 31; ++second) {
    Say(kA, heartbeat);
    core_.Pass(absl::Seconds(1));
  }
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  const std::vector<Message> releases = core_.Sent(kA, Message::kRelease);
  ASSERT_THAT(releases, SizeIs(1));
  EXPECT_EQ(releases[0].release().job().epoch(), 3u);
  JobSpec small = CoreHarness::Spec(1, 0, 1);
  small.priority = 9;
  core_.Submit("small", small);
  EXPECT_THAT(core_.Sent(kA, Message::kPrepare), SizeIs(0));
  v1::MemberMessage released;
  *released.mutable_released()->mutable_job() = Epoch(3);
  Say(kA, released);
  EXPECT_THAT(core_.Sent(kA, Message::kPrepare), SizeIs(1));
}

TEST_F(CoreSimulatedBugsTest, AValidationThatIsOverButUnreportedIsMadeAgain) {
  JobSpec spec = Spec(9);
  spec.validation.every = 1;
  RecoverWithWorkers(spec);
  v1::Standing standing = Before(6, 5);  // Round 5 was the validation after step 5.
  *standing.mutable_last() = Committed(4);
  SayStanding(kA, standing);
  SayStanding(kB, standing);
  EXPECT_EQ(core_.job("job").status().step(), 5);
  ASSERT_TRUE(core_.AnswerPlan());
  const std::vector<Message> plans = core_.Sent(kA, Message::kPlan);
  ASSERT_THAT(plans, SizeIs(1));
  EXPECT_EQ(plans[0].plan().plan().round(), 6);
  EXPECT_EQ(plans[0].plan().plan().kind(), v1::PLAN_KIND_VALIDATE);
}

TEST_F(CoreSimulatedBugsTest, ACommitThatAllHaveAppliedAsksForNoOtherCheckpoint) {
  RecoverWithWorkers(Spec(5));
  v1::Standing standing = Before(5, 5);
  *standing.mutable_last() = Committed(4);
  SayStanding(kB, standing);
  *standing.mutable_saved() = Saved(5);
  SayStanding(kA, standing);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_SUCCEEDED);
  EXPECT_EQ(core_.job("job").status().checkpoint(), "checkpoints/5");
}

TEST_F(CoreSimulatedBugsTest, ACommitReachesTheOthersAsItReachedRankZero) {
  RecoverWithWorkers(Spec(9));
  v1::Standing standing = Before(5, 5);
  *standing.mutable_last() = Committed(4);
  standing.set_saving(5);
  SayStanding(kA, standing);
  SayStanding(kB, AwaitingCommit());
  const std::vector<Message> commits = core_.Sent(kB, Message::kCommit);
  ASSERT_THAT(commits, SizeIs(1));
  EXPECT_EQ(commits[0].commit().round(), 4);
  EXPECT_TRUE(commits[0].commit().checkpoint());
}

TEST_F(CoreSimulatedBugsTest, ACheckpointThatIsWrittenAfterTheReportIsNotAwaited) {
  RecoverWithWorkers(Spec(4));
  v1::Standing standing = Before(4, 4);
  standing.set_saving(4);
  SayStanding(kA, standing);
  SaySaved(kA, 4);
  SayStanding(kB, Before(4, 4));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_SUCCEEDED);
  EXPECT_EQ(core_.job("job").status().checkpoint(), "checkpoints/4");
}

TEST_F(CoreSimulatedBugsTest, ARoundThatOnlyTheLastWorkerWasToldGoesOn) {
  RecoverWithWorkers(Spec(9));
  SayStanding(kA, Before(4, 4));
  SayStanding(kB, Within(4, 2));
  ASSERT_EQ(core_.pending_plans(), 1u);
  EXPECT_NE(core_.next_plan().resumed, nullptr);
  EXPECT_EQ(core_.next_plan().key.round, 4);
  EXPECT_EQ(core_.job("job").status().restarts(), 0);
}

TEST_F(CoreSimulatedBugsTest, WhoAwaitsTheCommitBeforeHasNothingOfTheResumedRound) {
  RecoverWithWorkers(Spec(9));
  v1::Standing ahead = Within(5, 3);
  *ahead.mutable_last() = Committed(4);
  SayStanding(kA, AwaitingCommit());
  SayStanding(kB, ahead);
  ASSERT_TRUE(core_.AnswerPlan());
  const std::vector<Message> plans = core_.Sent(kA, Message::kPlan);
  ASSERT_THAT(plans, SizeIs(1));
  EXPECT_EQ(plans[0].plan().plan().round(), 5);
  EXPECT_THAT(plans[0].plan().collected(), ElementsAre(0, 3));
}

TEST_F(CoreSimulatedBugsTest, AStandingThatIsRepeatedAsksForNoSecondPlan) {
  RecoverWithWorkers(Spec(9));
  SayStanding(kA, Within(4, 2));
  SayStanding(kB, Within(4, 2));
  SayStanding(kB, Within(4, 2));
  EXPECT_EQ(core_.pending_plans(), 1u);
}

}  // namespace
}  // namespace rally
