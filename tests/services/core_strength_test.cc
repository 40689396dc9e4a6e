// A job goes on with fewer workers when lost ones are not replaced, and takes all again later.
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/coordinator/conditions.h"
#include "tests/services/core_harness.h"

namespace rally {
namespace {

using testing::HasSubstr;
using Message = v1::CoordinatorMessage;

class CoreStrengthTest : public testing::Test {
 protected:
  static JobSpec Spec() {
    JobSpec spec = CoreHarness::Spec(3, 0, 20);
    spec.min_workers = 1;
    spec.worker_wait_seconds = 10;
    spec.checkpoint.directory = "checkpoints";
    spec.checkpoint.every = 2;
    return spec;
  }
  // Three workers, step 1 done.
  void Begin(const JobSpec& spec) {
    a_ = core_.Hello("a");
    b_ = core_.Hello("b");
    c_ = core_.Hello("c");
    core_.Submit("job", spec);
    core_.Start({a_, b_, c_}, "job", 1);
    Round({a_, b_, c_}, 1, 0);
    ASSERT_EQ(core_.job("job").status().step(), 1);
  }
  // Loses c in epoch 1, and begins on a and b in epoch 2, at step 0.
  void BeginOnTwo(const JobSpec& spec) {
    Begin(spec);
    core_.Lose(c_);
    Release({a_, b_}, 1);
    Pass(absl::Seconds(10));
    core_.Start({a_, b_}, "job", 2);
    ASSERT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  }
  // A run on two that ends, once its closing checkpoint is written, since a third worker has come.
  void EndForFullStrength() {
    JobSpec spec = Spec();
    spec.checkpoint.every = 0;
    BeginOnTwo(spec);
    c_ = core_.Hello("c");
    Round({a_, b_}, 2, 0);
  }
  void Round(const std::vector<SessionId>& sessions, uint32_t epoch, int64_t round) {
    while (core_.AnswerPlan()) {
    }
    for (SessionId session : sessions) core_.SayRoundDone(session, "job", epoch, round);
    for (SessionId session : sessions) core_.SayCommitted(session, "job", epoch, round);
    while (core_.AnswerPlan()) {
    }
  }
  void Release(const std::vector<SessionId>& sessions, uint32_t epoch) {
    for (SessionId session : sessions) core_.SayReleased(session, "job", epoch);
  }
  // With heartbeats of a and b.
  void Pass(absl::Duration time) { core_.Pass(time, {a_, b_}); }
  size_t Prepares(SessionId session) const { return core_.Sent(session, Message::kPrepare).size(); }
  v1::Prepare LastPrepare(SessionId session) const {
    return core_.Sent(session, Message::kPrepare).back().prepare();
  }
  const v1::Condition* Strength() const {
    return FindCondition(core_.job("job").status(), "FullStrength");
  }

  CoreHarness core_;
  SessionId a_ = 0, b_ = 0, c_ = 0;
};

TEST_F(CoreStrengthTest, GoesOnWithThoseThatAreThereAfterAWait) {
  Begin(Spec());
  EXPECT_EQ(core_.job("job").status().workers(), 3);
  EXPECT_EQ(Strength()->status(), v1::CONDITION_STATUS_TRUE);
  core_.Lose(c_);
  Release({a_, b_}, 1);
  Pass(absl::Seconds(9));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  Pass(absl::Seconds(1));
  ASSERT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING);
  EXPECT_EQ(LastPrepare(b_).ranks(), 2);
  EXPECT_EQ(LastPrepare(b_).spec().workers(), 2);
  EXPECT_EQ(LastPrepare(b_).spec().batch().chunks(), 2) << "the batch is the same";
  EXPECT_EQ(core_.job("job").spec().workers(), 3);
  EXPECT_EQ(Strength()->status(), v1::CONDITION_STATUS_FALSE);
  EXPECT_EQ(Strength()->reason(), "WorkersMissing");
  EXPECT_EQ(Strength()->message(), "2 of 3 workers");
  core_.Start({a_, b_}, "job", 2);
  EXPECT_EQ(core_.job("job").status().workers(), 2);
  EXPECT_EQ(core_.next_plan().spec->workers, 2);
  Round({a_, b_}, 2, 0);
  EXPECT_EQ(core_.job("job").status().step(), 1);
  EXPECT_EQ(core_.job("job").status().restarts(), 1);
}

TEST_F(CoreStrengthTest, AReplacementInTimeKeepsTheStrength) {
  Begin(Spec());
  core_.Lose(c_);
  Release({a_, b_}, 1);
  Pass(absl::Seconds(9));
  const SessionId d = core_.Hello("d");
  EXPECT_EQ(LastPrepare(d).spec().workers(), 3);
}

TEST_F(CoreStrengthTest, AMemberThatIsStillLettingGoIsWaitedFor) {
  Begin(Spec());
  core_.Lose(c_);
  Release({a_}, 1);
  Pass(absl::Seconds(11));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  Release({b_}, 1);
  EXPECT_EQ(LastPrepare(a_).spec().workers(), 2);
}

TEST_F(CoreStrengthTest, OnlyCountsThatTheDocumentsAllow) {
  JobSpec spec = Spec();
  spec.workers = 4;
  spec.min_workers = 2;
  spec.batch.chunks = 4;
  spec.batch.max_document_tokens = 2 * spec.batch.chunk_tokens;
  a_ = core_.Hello("a");
  b_ = core_.Hello("b");
  c_ = core_.Hello("c");
  const SessionId d = core_.Hello("d");
  core_.Submit("job", spec);
  core_.Start({a_, b_, c_, d}, "job", 1);
  core_.Lose(d);
  Release({a_, b_, c_}, 1);
  core_.Pass(absl::Seconds(10), {a_, b_, c_});
  ASSERT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING);
  EXPECT_EQ(LastPrepare(a_).spec().workers(), 2);
  EXPECT_EQ(Prepares(c_), 1u);
}

TEST_F(CoreStrengthTest, FewerThanTheFewestAreNotEnough) {
  JobSpec spec = Spec();
  spec.min_workers = 3;
  Begin(spec);
  EXPECT_EQ(Strength(), nullptr);
  core_.Lose(c_);
  Release({a_, b_}, 1);
  Pass(absl::Minutes(2));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
}

TEST_F(CoreStrengthTest, TheFirstStartWaitsForAll) {
  a_ = core_.Hello("a");
  b_ = core_.Hello("b");
  core_.Submit("job", Spec());
  Pass(absl::Minutes(2));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  // Neither does one that was cut off before it trained.
  c_ = core_.Hello("c");
  core_.Lose(c_);
  Release({a_, b_}, 1);
  Pass(absl::Minutes(2));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
}

TEST_F(CoreStrengthTest, TakesAllWorkersAgainWithTheNextCheckpoint) {
  BeginOnTwo(Spec());
  c_ = core_.Hello("c");
  Round({a_, b_}, 2, 0);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING) << "no checkpoint is due";
  Round({a_, b_}, 2, 1);
  EXPECT_TRUE(core_.Sent(a_, Message::kCommit).back().commit().checkpoint());
  EXPECT_EQ(core_.job("job").status().step(), 2);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING) << "its checkpoint is waited for";
  // What comes now does not take the members.
  core_.Advance(absl::Seconds(1));
  core_.Submit("small", CoreHarness::Spec(1, 0, 3));
  EXPECT_EQ(Prepares(c_), 0u);
  core_.SayCheckpoint(a_, "job", 2, 2);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  Release({a_, b_}, 2);
  ASSERT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING);
  EXPECT_EQ(LastPrepare(c_).spec().workers(), 3);
  EXPECT_TRUE(LastPrepare(c_).restore());
  core_.Start({a_, b_, c_}, "job", 3, 2);
  EXPECT_EQ(Strength()->status(), v1::CONDITION_STATUS_TRUE);
  EXPECT_EQ(core_.job("job").status().workers(), 3);
  EXPECT_EQ(core_.job("job").status().restarts(), 1) << "that of the loss";
  EXPECT_EQ(core_.next_plan().spec->workers, 3);
}

TEST_F(CoreStrengthTest, StaysWithFewerWhereACheckpointFailedOrAnotherJobIsAhead) {
  BeginOnTwo(Spec());
  Round({a_, b_}, 2, 0);
  Round({a_, b_}, 2, 1);
  core_.SayCheckpoint(a_, "job", 2, 2, absl::ResourceExhaustedError("full"));
  JobSpec urgent = CoreHarness::Spec(2, 0, 3);
  urgent.priority = 1;
  core_.Submit("urgent", urgent);
  c_ = core_.Hello("c");
  Round({a_, b_}, 2, 2);
  Round({a_, b_}, 2, 3);
  core_.SayCheckpoint(a_, "job", 2, 4);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING) << "steps would be lost";
  Round({a_, b_}, 2, 4);
  Round({a_, b_}, 2, 5);
  core_.SayCheckpoint(a_, "job", 2, 6);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING) << "the other job would take the members";
  core_.Apply(CancelJob{9, "urgent", absl::ZeroDuration()});
  Round({a_, b_}, 2, 6);
  Round({a_, b_}, 2, 7);
  core_.SayCheckpoint(a_, "job", 2, 8);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
}

TEST_F(CoreStrengthTest, WithoutDueCheckpointsTheNextCommitWritesOne) {
  EndForFullStrength();
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING) << "the checkpoint is waited for";
  EXPECT_TRUE(core_.Sent(a_, Message::kCommit).back().commit().checkpoint());
  core_.SayCheckpoint(a_, "job", 2, 1);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
}

TEST_F(CoreStrengthTest, GoesOnWithFewerWhenItsClosingCheckpointFails) {
  EndForFullStrength();
  // Members have the plan of the next round: it is computed, and not committed meanwhile.
  const size_t commits = core_.Sent(a_, Message::kCommit).size();
  Round({a_, b_}, 2, 1);
  EXPECT_EQ(core_.Sent(a_, Message::kCommit).size(), commits);
  EXPECT_EQ(core_.job("job").status().step(), 1);
  core_.Submit("small", CoreHarness::Spec(1, 0, 3));
  core_.SayCheckpoint(a_, "job", 2, 1, absl::ResourceExhaustedError("full"));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING) << "the steps would be lost";
  EXPECT_EQ(core_.Sent(a_, Message::kCommit).size(), commits + 1);
  EXPECT_EQ(core_.phase("small"), v1::JOB_PHASE_STARTING) << "the members are not needed now";
  for (SessionId session : {a_, b_}) core_.SayCommitted(session, "job", 2, 1);
  Round({a_, b_}, 2, 2);
  EXPECT_EQ(core_.job("job").status().step(), 3);
  EXPECT_EQ(core_.job("job").status().restarts(), 1) << "that of the loss";
}

TEST_F(CoreStrengthTest, ACancelWhileItsClosingCheckpointIsWrittenEndsItWithThat) {
  EndForFullStrength();
  Round({a_, b_}, 2, 1);
  core_.Apply(CancelJob{9, "job", absl::Minutes(1)});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  core_.SayCheckpoint(a_, "job", 2, 1, absl::ResourceExhaustedError("full"));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_CANCELLED);
  EXPECT_TRUE(core_.Sent(a_, Message::kRelease).back().release().abort()) << "it holds a plan";
}

TEST_F(CoreStrengthTest, AWorkerThatLeavesMeanwhileIsLetGoWithTheNextCommit) {
  EndForFullStrength();
  v1::MemberMessage leaving;
  leaving.mutable_leaving();
  core_.Say(b_, leaving);
  core_.SayCheckpoint(a_, "job", 2, 1, absl::ResourceExhaustedError("full"));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  Round({a_, b_}, 2, 1);
  EXPECT_TRUE(core_.Sent(a_, Message::kCommit).back().commit().checkpoint());
  core_.SayCheckpoint(a_, "job", 2, 2);
  ASSERT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(FindCondition(core_.job("job").status(), "Progressing")->reason(), "MemberLeaving");
}

TEST_F(CoreStrengthTest, WithoutCheckpointsItStaysWithFewer) {
  JobSpec spec = Spec();
  spec.checkpoint = {};
  BeginOnTwo(spec);
  c_ = core_.Hello("c");
  for (int64_t round = 0; round < 4; ++round) Round({a_, b_}, 2, round);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
}

TEST_F(CoreStrengthTest, ARunOnFewerIsTakenBackByARestartedCoordinator) {
  BeginOnTwo(Spec());
  const v1::Job job = core_.job("job");
  core_ = CoreHarness();
  core_.Apply(Recover{{StoredJob{job, 99}}});
  for (const auto& [session, rank] : {std::pair<SessionId, int32_t>{50, 0}, {51, 1}}) {
    MemberHello hello;
    hello.session = session;
    hello.hello.set_member_id(rank == 0 ? "a" : "b");
    hello.hello.set_role(v1::MEMBER_ROLE_MODEL);
    hello.hello.mutable_current()->set_job_id("job");
    hello.hello.mutable_current()->set_epoch(2);
    hello.hello.set_rank(rank);
    core_.Apply(hello);
  }
  ASSERT_EQ(core_.Sent(50, Message::kRegroup).size(), 1u) << "both workers of the run are back";
  EXPECT_EQ(core_.Sent(50, Message::kRegroup)[0].regroup().ranks(), 2);
}

}  // namespace
}  // namespace rally
