// The core takes running jobs back after it was restarted.
#include <algorithm>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/convert.h"
#include "services/coordinator/conditions.h"
#include "tests/services/core_harness.h"

namespace rally {
namespace {

using Message = v1::CoordinatorMessage;

constexpr SessionId kA = 50;
constexpr SessionId kB = 51;

class CoreAdoptionTest : public testing::Test {
 protected:
  // A job of two workers, in epochs 2 and 3 of its run, with step 4 recorded. Round 4 is step 5.
  void SetUp() override {
    StoredJob stored;
    stored.job.set_job_id("job");
    JobSpec spec = CoreHarness::Spec(2, 0, 9);
    spec.checkpoint.directory = "checkpoints";
    spec.validation.every = 4;
    *stored.job.mutable_spec() = ToProto(spec);
    stored.job.mutable_status()->set_phase(v1::JOB_PHASE_RUNNING);
    stored.job.mutable_status()->set_run_epoch(2);
    stored.job.mutable_status()->set_epoch(3);
    stored.job.mutable_status()->set_step(4);
    stored.last_sequence = 9;
    core_.Apply(Recover{{stored}});
    EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  }

  void Hello(SessionId session, const char* id, uint32_t epoch, int32_t rank) {
    MemberHello hello;
    hello.session = session;
    hello.hello.set_member_id(id);
    hello.hello.set_role(v1::MEMBER_ROLE_MODEL);
    hello.hello.mutable_current()->set_job_id("job");
    hello.hello.mutable_current()->set_epoch(epoch);
    hello.hello.set_rank(rank);
    core_.Apply(hello);
  }
  void BothComeBack() {
    Hello(kB, "b", 2, 1);  // It has not heard of epoch 3.
    Hello(kA, "a", 3, 0);
    ASSERT_EQ(core_.Sent(kA, Message::kRegroup).size(), 1u);
  }
  static v1::Plan PlanOf(int64_t round, int64_t step) {
    v1::Plan plan;
    plan.set_round(round);
    plan.set_step(step);
    plan.mutable_next_position()->set_index(step);
    plan.mutable_documents()->add_tokens(70);
    plan.mutable_documents()->add_tokens(30);
    return plan;
  }
  static v1::RoundRecord Finished(int64_t round, int64_t step) {
    v1::RoundRecord record;
    *record.mutable_plan() = PlanOf(round, step);
    record.mutable_done()->set_round(round);
    record.mutable_done()->set_loss(1.25);
    return record;
  }
  static v1::RoundRecord Committed(int64_t round, int64_t step) {
    v1::RoundRecord record = Finished(round, step);
    record.mutable_committed()->set_round(round);
    record.mutable_committed()->set_step(step);
    return record;
  }
  // Step 4 committed, round 4 finished.
  static v1::Standing Awaiting() {
    v1::Standing standing;
    standing.set_round(4);
    standing.set_begun(true);
    standing.set_complete(true);
    standing.set_step(4);
    *standing.mutable_current() = Finished(4, 5);
    *standing.mutable_last() = Committed(3, 4);
    return standing;
  }
  // Step 5 committed.
  static v1::Standing Ahead() {
    v1::Standing standing;
    standing.set_round(5);
    standing.set_step(5);
    standing.mutable_position()->set_index(5);
    *standing.mutable_last() = Committed(4, 5);
    return standing;
  }
  void Say(SessionId session, const char* id, const v1::Standing& standing) {
    v1::MemberMessage message;
    message.mutable_prepared()->mutable_job()->set_job_id("job");
    message.mutable_prepared()->mutable_job()->set_epoch(4);
    *message.mutable_prepared()->mutable_standing() = standing;
    core_.Apply(MemberSaid{session, id, message});
  }
  void SayCommitted(SessionId session, const char* id, int64_t round) {
    v1::MemberMessage message;
    message.mutable_committed()->mutable_job()->set_job_id("job");
    message.mutable_committed()->mutable_job()->set_epoch(4);
    message.mutable_committed()->set_round(round);
    core_.Apply(MemberSaid{session, id, message});
  }
  void SayDone(SessionId session, const char* id, int64_t round) {
    v1::MemberMessage message;
    message.mutable_round_done()->mutable_job()->set_job_id("job");
    message.mutable_round_done()->mutable_job()->set_epoch(4);
    message.mutable_round_done()->set_round(round);
    message.mutable_round_done()->set_loss(2.5);
    core_.Apply(MemberSaid{session, id, message});
  }
  void SaySaved(int64_t step) {
    v1::MemberMessage message;
    message.mutable_checkpoint_written()->mutable_job()->set_job_id("job");
    message.mutable_checkpoint_written()->mutable_job()->set_epoch(2);
    message.mutable_checkpoint_written()->set_step(step);
    message.mutable_checkpoint_written()->set_directory("checkpoints/some");
    core_.Apply(MemberSaid{kA, "a", message});
  }
  void SayLeaving(SessionId session, const char* id) {
    v1::MemberMessage message;
    message.mutable_leaving();
    core_.Apply(MemberSaid{session, id, message});
  }
  int64_t step() const { return core_.job("job").status().step(); }

  CoreHarness core_;
};

TEST_F(CoreAdoptionTest, AsksTheMembersWhereTheyStand) {
  Hello(kB, "b", 2, 1);
  EXPECT_TRUE(core_.Sent(kB, Message::kRegroup).empty()) << "a worker is missing";
  EXPECT_TRUE(core_.Sent(kB, Message::kRelease).empty());
  Hello(kA, "a", 3, 0);
  for (const auto& [session, epoch] : {std::pair{kA, 3u}, {kB, 2u}}) {
    const v1::Regroup regroup = core_.Sent(session, Message::kRegroup).back().regroup();
    EXPECT_EQ(regroup.job().epoch(), epoch) << "as the member knows it";
    EXPECT_EQ(regroup.epoch(), 4u);
    EXPECT_TRUE(regroup.report());
  }
  EXPECT_EQ(core_.job("job").status().restarts(), 0);
}

TEST_F(CoreAdoptionTest, ACommitThatReachedOneWorkerReachesTheOther) {
  BothComeBack();
  Say(kA, "a", Ahead());
  Say(kB, "b", Awaiting());
  ASSERT_EQ(core_.Sent(kB, Message::kCommit).size(), 1u);
  EXPECT_EQ(core_.Sent(kB, Message::kCommit)[0].commit().round(), 4);
  EXPECT_EQ(step(), 4);
  SayCommitted(kB, "b", 4);
  EXPECT_EQ(step(), 5);
  EXPECT_EQ(core_.events.back().step().loss(), 1.25);
  EXPECT_EQ(core_.events.back().step().tokens(), 100);
  EXPECT_EQ(core_.next_plan().key.round, 5);
  EXPECT_EQ(core_.next_plan().key.step, 6);
  EXPECT_EQ(core_.next_plan().position.index, 5);
}

TEST_F(CoreAdoptionTest, AStepThatAllCommittedIsRecorded) {
  BothComeBack();
  Say(kA, "a", Ahead());
  Say(kB, "b", Ahead());
  EXPECT_EQ(step(), 5);
  EXPECT_EQ(core_.next_plan().key.step, 6);
}

TEST_F(CoreAdoptionTest, AStepThatAllHaveFinishedIsCommitted) {
  BothComeBack();
  Say(kA, "a", Awaiting());
  Say(kB, "b", Awaiting());
  EXPECT_EQ(core_.Sent(kA, Message::kCommit).size(), 1u);
  SayCommitted(kA, "a", 4);
  SayCommitted(kB, "b", 4);
  EXPECT_EQ(step(), 5);
}

TEST_F(CoreAdoptionTest, ARoundUnderWayGoesOn) {
  v1::Standing within;
  within.set_round(4);
  within.set_begun(true);
  within.set_collected(6);
  within.set_step(4);
  *within.mutable_current()->mutable_plan() = PlanOf(4, 5);
  *within.mutable_last() = Committed(3, 4);
  v1::Standing before = within;
  before.set_begun(false);
  before.set_collected(0);
  before.clear_current();
  BothComeBack();
  Say(kA, "a", before);
  Say(kB, "b", within);
  ASSERT_EQ(core_.pending_plans(), 1u);
  EXPECT_EQ(core_.next_plan().key.round, 4);
  EXPECT_NE(core_.next_plan().resumed, nullptr);
  core_.AnswerPlan();
  EXPECT_EQ(core_.Sent(kA, Message::kConnect).back().connect().resumed_round(), 4);
  EXPECT_THAT(core_.Sent(kA, Message::kPlan).back().plan().collected(), testing::ElementsAre(0, 6));
}

TEST_F(CoreAdoptionTest, AJobWhoseWorkersDoNotComeBackStartsAnew) {
  Hello(kA, "a", 3, 0);
  for (int tick = 0; tick < 310; ++tick) {
    core_.Advance(absl::Milliseconds(100));
    v1::MemberMessage heartbeat;
    heartbeat.mutable_heartbeat();
    core_.Apply(MemberSaid{kA, "a", heartbeat});
    core_.Apply(Tick{});
  }
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(core_.job("job").status().restarts(), 0);
  ASSERT_EQ(core_.Sent(kA, Message::kRelease).size(), 1u);
  EXPECT_EQ(core_.Sent(kA, Message::kRelease)[0].release().job().epoch(), 3u);
}

TEST_F(CoreAdoptionTest, MembersOfAnEarlierRunAreReleased) {
  Hello(kA, "a", 1, 0);
  ASSERT_EQ(core_.Sent(kA, Message::kRelease).size(), 1u);
  EXPECT_EQ(core_.Sent(kA, Message::kRelease)[0].release().job().epoch(), 1u);
}

TEST_F(CoreAdoptionTest, ACancelReleasesWhoIsBack) {
  Hello(kA, "a", 3, 0);
  core_.Apply(CancelJob{7, "job", absl::Seconds(30)});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_CANCELLED);
  EXPECT_EQ(core_.Sent(kA, Message::kRelease).size(), 1u);
}

TEST_F(CoreAdoptionTest, AWorkerThatLeavesBeforeAllAreBackIsLetGoAtTheNextCommit) {
  Hello(kB, "b", 2, 1);
  SayLeaving(kB, "b");
  Hello(kA, "a", 3, 0);
  Say(kA, "a", Awaiting());
  Say(kB, "b", Awaiting());
  ASSERT_EQ(core_.Sent(kA, Message::kCommit).size(), 1u);
  EXPECT_TRUE(core_.Sent(kA, Message::kCommit)[0].commit().checkpoint());
  SayCommitted(kA, "a", 4);
  SayCommitted(kB, "b", 4);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING) << "its checkpoint is waited for";
  SaySaved(5);
  ASSERT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(FindCondition(core_.job("job").status(), "Progressing")->reason(), "MemberLeaving");
  EXPECT_EQ(core_.job("job").status().restarts(), 0);
}

TEST_F(CoreAdoptionTest, ADeadlineThatHasPassedMeanwhileEndsItThoughAWorkerLeaves) {
  v1::Job job = core_.job("job");
  job.mutable_spec()->set_deadline_seconds(1);
  core_ = CoreHarness();
  core_.Apply(Recover{{StoredJob{job, 99}}});
  BothComeBack();
  SayLeaving(kB, "b");
  Say(kA, "a", Ahead());
  Say(kB, "b", Awaiting());
  SayCommitted(kB, "b", 4);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  core_.AnswerPlan();
  for (const auto& [session, id] : {std::pair{kA, "a"}, {kB, "b"}}) SayDone(session, id, 5);
  for (const auto& [session, id] : {std::pair{kA, "a"}, {kB, "b"}}) SayCommitted(session, id, 5);
  SaySaved(6);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_FAILED);
}

// Round 4 validates step 4, rounds 5 and 6 are steps 5 and 6.
class AdoptedValidationTest : public CoreAdoptionTest {
 protected:
  static v1::RoundRecord Validated() {
    v1::RoundRecord record = Finished(4, 4);
    record.mutable_plan()->set_kind(v1::PLAN_KIND_VALIDATE);
    record.mutable_plan()->clear_next_position();
    record.mutable_done()->set_loss(2.5);
    return record;
  }
  // Step 4 committed and validated, round 5 begun or still to come.
  static v1::Standing Beyond(bool begun) {
    v1::Standing standing;
    standing.set_round(5);
    standing.set_begun(begun);
    standing.set_step(4);
    standing.mutable_position()->set_index(4);
    if (begun) *standing.mutable_current()->mutable_plan() = PlanOf(5, 5);
    *standing.mutable_last() = Committed(3, 4);
    *standing.mutable_validated() = Validated();
    return standing;
  }
  // Within the validation, all of it collected.
  static v1::Standing Validating() {
    v1::Standing standing = Beyond(false);
    standing.set_round(4);
    standing.set_begun(true);
    standing.set_complete(true);
    standing.clear_validated();
    *standing.mutable_current()->mutable_plan() = Validated().plan();
    return standing;
  }
  const v1::ValidationReport& validation() const {
    return core_.job("job").status().last_validation();
  }
  size_t Validations() const {
    return std::count_if(core_.events.begin(), core_.events.end(),
                         [](const v1::JobEvent& event) { return event.has_validation(); });
  }
};

TEST_F(AdoptedValidationTest, OneThatIsOverIsReportedThoughTheNextStepHasBegun) {
  BothComeBack();
  Say(kA, "a", Beyond(true));
  Say(kB, "b", Beyond(true));
  ASSERT_EQ(core_.pending_plans(), 1u);
  EXPECT_EQ(core_.next_plan().key.round, 5);
  EXPECT_NE(core_.next_plan().resumed, nullptr);
  core_.AnswerPlan();
  EXPECT_EQ(validation().step(), 4);
  EXPECT_EQ(validation().loss(), 2.5);
  EXPECT_EQ(validation().tokens(), 100);
  EXPECT_EQ(Validations(), 1u);
  EXPECT_EQ(core_.next_plan().key.round, 6);
}

TEST_F(AdoptedValidationTest, OneThatIsOverIsNotMadeAgain) {
  BothComeBack();
  Say(kA, "a", Beyond(false));
  Say(kB, "b", Beyond(false));
  EXPECT_EQ(validation().loss(), 2.5);
  EXPECT_EQ(Validations(), 1u);
  ASSERT_EQ(core_.pending_plans(), 1u);
  EXPECT_EQ(core_.next_plan().key.kind, PlanKind::kTrain);
  EXPECT_EQ(core_.next_plan().key.round, 5);
  EXPECT_EQ(core_.next_plan().key.step, 5);
  EXPECT_EQ(core_.next_plan().position.index, 4);
}

TEST_F(AdoptedValidationTest, OneThatAWorkerHasStillToEndIsReportedWithItsWord) {
  BothComeBack();
  Say(kA, "a", Validating());
  Say(kB, "b", Beyond(true));
  EXPECT_EQ(Validations(), 0u);
  core_.AnswerPlan();
  SayDone(kA, "a", 4);
  EXPECT_EQ(validation().loss(), 2.5);
  EXPECT_EQ(Validations(), 1u);
}

TEST_F(AdoptedValidationTest, OneThatWasReportedIsNotReportedAgain) {
  v1::Job job = core_.job("job");
  job.mutable_status()->mutable_last_validation()->set_step(4);
  core_ = CoreHarness();
  core_.Apply(Recover{{StoredJob{job, 99}}});
  BothComeBack();
  Say(kA, "a", Beyond(false));
  Say(kB, "b", Beyond(false));
  EXPECT_EQ(Validations(), 0u);
  ASSERT_EQ(core_.pending_plans(), 1u);
  EXPECT_EQ(core_.next_plan().key.kind, PlanKind::kTrain);
}

TEST_F(AdoptedValidationTest, OneOfAStepThatWasNotRecordedFollowsIt) {
  v1::Job job = core_.job("job");
  job.mutable_status()->set_step(3);
  core_ = CoreHarness();
  core_.Apply(Recover{{StoredJob{job, 99}}});
  BothComeBack();
  Say(kA, "a", Beyond(false));
  Say(kB, "b", Beyond(false));
  EXPECT_EQ(step(), 4);
  EXPECT_EQ(Validations(), 1u);
  ASSERT_GE(core_.events.size(), 2u);
  EXPECT_TRUE(core_.events[core_.events.size() - 2].has_step());
  EXPECT_TRUE(core_.events.back().has_validation());
  EXPECT_EQ(core_.next_plan().key.round, 5);
}

}  // namespace
}  // namespace rally
