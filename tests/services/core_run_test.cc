// The core's runs: rounds, commits, faults, stale messages.
#include <cmath>
#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/coordinator/conditions.h"
#include "tests/services/core_harness.h"

namespace rally {
namespace {

using testing::HasSubstr;
using Message = v1::CoordinatorMessage;

class CoreRunTest : public testing::Test {
 protected:
  // Two workers and a server in a running job of `steps` steps.
  void Begin(JobSpec spec) {
    a_ = core_.Hello("a");
    b_ = core_.Hello("b");
    s_ = core_.Hello("s", v1::MEMBER_ROLE_ATTENTION);
    core_.Submit("job", spec);
    core_.Start({a_, b_, s_}, "job", 1);
    ASSERT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  }
  void Begin(int64_t steps = 4) { Begin(CoreHarness::Spec(2, 1, steps)); }

  void AllDone(int64_t round, uint32_t epoch = 1) {
    for (SessionId session : {a_, b_, s_}) core_.SayRoundDone(session, "job", epoch, round);
  }
  void AllCommitted(int64_t round, uint32_t epoch = 1) {
    core_.SayCommitted(a_, "job", epoch, round);
    core_.SayCommitted(b_, "job", epoch, round);
  }
  size_t Plans() const { return core_.Sent(a_, Message::kPlan).size(); }
  size_t Commits() const { return core_.Sent(a_, Message::kCommit).size(); }
  size_t Releases(SessionId session) const { return core_.Sent(session, Message::kRelease).size(); }

  CoreHarness core_;
  SessionId a_ = 0, b_ = 0, s_ = 0;
};

TEST_F(CoreRunTest, ConnectsOnlyWhenAllArePreparedAndByRank) {
  a_ = core_.Hello("a");
  b_ = core_.Hello("b");
  core_.Submit("job", CoreHarness::Spec(2, 0, 1));
  core_.SayPrepared(b_, "job", 1);
  EXPECT_TRUE(core_.Sent(a_, Message::kConnect).empty());
  core_.SayPrepared(a_, "job", 1);
  ASSERT_EQ(core_.Sent(a_, Message::kConnect).size(), 1u);
  const v1::Connect connect = core_.Sent(a_, Message::kConnect)[0].connect();
  EXPECT_EQ(connect.transport_addresses(0), "a");
  EXPECT_EQ(connect.transport_addresses(1), "b");
}

TEST_F(CoreRunTest, KeepsPlansOneRoundAheadAndNoMore) {
  Begin();
  EXPECT_EQ(Plans(), 0u);
  ASSERT_TRUE(core_.AnswerPlan());
  EXPECT_EQ(Plans(), 1u);
  ASSERT_TRUE(core_.AnswerPlan());
  EXPECT_EQ(Plans(), 2u);
  ASSERT_TRUE(core_.AnswerPlan());  // In hand, not sent.
  EXPECT_EQ(Plans(), 2u);
  EXPECT_FALSE(core_.AnswerPlan());
  AllDone(0);
  AllCommitted(0);
  EXPECT_EQ(Plans(), 3u);
  EXPECT_EQ(core_.pending_plans(), 1u);
}

TEST_F(CoreRunTest, PlansForATenthOfTheLastStep) {
  Begin();
  ASSERT_TRUE(core_.AnswerPlan());
  EXPECT_EQ(core_.next_plan().search, absl::ZeroDuration());  // Nothing is measured.
  while (core_.AnswerPlan()) {
  }
  core_.Advance(absl::Seconds(20));
  AllDone(0);
  AllCommitted(0);
  EXPECT_EQ(core_.next_plan().search, absl::Seconds(2));
}

TEST_F(CoreRunTest, PlansADeterministicJobByNoClock) {
  JobSpec spec = CoreHarness::Spec(2, 1, 4);
  spec.deterministic = true;
  Begin(spec);
  while (core_.AnswerPlan()) {
  }
  core_.Advance(absl::Seconds(20));
  AllDone(0);
  AllCommitted(0);
  EXPECT_EQ(core_.next_plan().search, absl::ZeroDuration());
}

TEST_F(CoreRunTest, CommitsWhenEveryRankIsDoneAndReportsWhenEveryWorkerCommitted) {
  Begin();
  core_.AnswerPlan();
  core_.SayRoundDone(a_, "job", 1, 0);
  core_.SayRoundDone(b_, "job", 1, 0);
  EXPECT_EQ(Commits(), 0u);
  core_.SayRoundDone(s_, "job", 1, 0);
  EXPECT_EQ(Commits(), 1u);
  EXPECT_TRUE(core_.Sent(s_, Message::kCommit).empty());
  core_.SayRoundDone(s_, "job", 1, 0);  // A repeat.
  EXPECT_EQ(Commits(), 1u);
  core_.SayCommitted(a_, "job", 1, 0);
  EXPECT_EQ(core_.job("job").status().step(), 0);
  core_.SayCommitted(b_, "job", 1, 0);
  EXPECT_EQ(core_.job("job").status().step(), 1);
  EXPECT_EQ(core_.events.back().step().step(), 1);
}

TEST_F(CoreRunTest, ValidatesOnScheduleWithoutCommit) {
  JobSpec spec = CoreHarness::Spec(2, 1, 3);
  spec.validation.every = 2;
  Begin(spec);
  std::vector<std::string> order;
  for (int64_t round = 0; round < 5; ++round) {
    while (core_.AnswerPlan()) {
    }
    AllDone(round);
    AllCommitted(round);
  }
  for (const v1::JobEvent& event : core_.events) {
    if (event.has_step()) order.push_back("t" + std::to_string(event.step().step()));
    if (event.has_validation()) order.push_back("v" + std::to_string(event.validation().step()));
  }
  EXPECT_THAT(order, testing::ElementsAre("t1", "t2", "v2", "t3", "v3"));
  EXPECT_EQ(Commits(), 3u);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_SUCCEEDED);
  EXPECT_FALSE(core_.Sent(a_, Message::kRelease)[0].release().abort());
}

TEST_F(CoreRunTest, TakesAMemberThatIsOneRoundAheadAfterAValidation) {
  JobSpec spec = CoreHarness::Spec(2, 1, 2);
  spec.validation.every = 1;
  Begin(spec);
  while (core_.AnswerPlan()) {
  }
  AllDone(0);
  AllCommitted(0);
  while (core_.AnswerPlan()) {
  }
  core_.SayRoundDone(a_, "job", 1, 1);
  core_.SayRoundDone(a_, "job", 1, 2);  // Before the others are through with round 1.
  core_.SayRoundDone(b_, "job", 1, 1);
  core_.SayRoundDone(s_, "job", 1, 1);
  core_.SayRoundDone(b_, "job", 1, 2);
  EXPECT_EQ(Commits(), 1u);
  core_.SayRoundDone(s_, "job", 1, 2);
  EXPECT_EQ(Commits(), 2u);
}

TEST_F(CoreRunTest, ALostMemberPutsTheJobBackUnderANewEpoch) {
  Begin();
  core_.AnswerPlan();
  core_.Lose(b_);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(core_.job("job").status().epoch(), 2u);
  EXPECT_EQ(core_.job("job").status().restarts(), 1);
  ASSERT_EQ(Releases(a_), 1u);
  EXPECT_TRUE(core_.Sent(a_, Message::kRelease)[0].release().abort());
  // Members are not used again before they have let go.
  core_.Hello("c");
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  core_.SayReleased(a_, "job", 1);
  core_.SayReleased(s_, "job", 1);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  core_.Advance(absl::Seconds(1));
  core_.Apply(Tick{});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING);
  EXPECT_TRUE(core_.Sent(a_, Message::kPrepare)[1].prepare().restore())
      << "a checkpoint may be its own though nobody has heard of it";
}

// Before that, a checkpoint in its directory is another job's, which nobody may have found yet.
TEST_F(CoreRunTest, AJobThatNeverTrainedRestoresNothing) {
  a_ = core_.Hello("a");
  b_ = core_.Hello("b");
  core_.Submit("job", CoreHarness::Spec(2, 0, 4));
  core_.SayPrepared(a_, "job", 1);
  const v1::Job job = core_.job("job");
  ASSERT_EQ(job.status().phase(), v1::JOB_PHASE_STARTING);
  core_ = CoreHarness();
  core_.Apply(Recover{{StoredJob{job, 99}}});
  a_ = core_.Hello("a");
  b_ = core_.Hello("b");
  ASSERT_EQ(core_.Sent(a_, Message::kPrepare).size(), 1u);
  EXPECT_EQ(core_.Sent(a_, Message::kPrepare)[0].prepare().job().epoch(), 2u);
  EXPECT_FALSE(core_.Sent(a_, Message::kPrepare)[0].prepare().restore());
}

TEST_F(CoreRunTest, DropsMessagesOfAnotherEpoch) {
  Begin();
  core_.AnswerPlan();
  const size_t events = core_.events.size();
  AllDone(0, /*epoch=*/7);
  AllCommitted(0, /*epoch=*/7);
  core_.SayFailed(a_, "job", 7, absl::InvalidArgumentError("old"));
  core_.SayReleased(a_, "job", 7);
  core_.SayReleased(a_, "job", 1);  // Never asked for.
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  EXPECT_EQ(core_.events.size(), events);
  EXPECT_EQ(Commits(), 0u);
  PlannedRound stale;
  core_.Apply(PlanReady{"job", 7, stale});
  core_.Apply(PlanFailed{"job", 7, absl::InternalError("old")});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
}

TEST_F(CoreRunTest, TellsUserErrorsFromInfrastructureFailures) {
  const struct {
    absl::StatusCode code;
    v1::JobPhase phase;
  } cases[] = {
      {absl::StatusCode::kInvalidArgument, v1::JOB_PHASE_FAILED},
      {absl::StatusCode::kNotFound, v1::JOB_PHASE_FAILED},
      {absl::StatusCode::kFailedPrecondition, v1::JOB_PHASE_FAILED},
      {absl::StatusCode::kAlreadyExists, v1::JOB_PHASE_FAILED},
      {absl::StatusCode::kOutOfRange, v1::JOB_PHASE_FAILED},
      {absl::StatusCode::kDataLoss, v1::JOB_PHASE_FAILED},
      {absl::StatusCode::kPermissionDenied, v1::JOB_PHASE_FAILED},
      {absl::StatusCode::kUnavailable, v1::JOB_PHASE_QUEUED},
      {absl::StatusCode::kDeadlineExceeded, v1::JOB_PHASE_QUEUED},
      {absl::StatusCode::kAborted, v1::JOB_PHASE_QUEUED},
      {absl::StatusCode::kCancelled, v1::JOB_PHASE_QUEUED},
      {absl::StatusCode::kInternal, v1::JOB_PHASE_QUEUED},
      {absl::StatusCode::kUnknown, v1::JOB_PHASE_QUEUED},
      {absl::StatusCode::kResourceExhausted, v1::JOB_PHASE_QUEUED},
  };
  for (const auto& test : cases) {
    core_ = CoreHarness();
    Begin();
    core_.SayFailed(b_, "job", 1, absl::Status(test.code, "why"));
    EXPECT_EQ(core_.phase("job"), test.phase) << absl::StatusCodeToString(test.code);
    for (SessionId session : {a_, b_, s_}) EXPECT_EQ(Releases(session), 1u);
  }
}

TEST_F(CoreRunTest, GivesUpAfterMaxRestarts) {
  JobSpec spec = CoreHarness::Spec(1, 0, 3);
  spec.max_restarts = 1;
  a_ = core_.Hello("a");
  core_.Submit("job", spec);
  core_.SayFailed(a_, "job", 1, absl::UnavailableError("gone"));
  core_.SayReleased(a_, "job", 1);
  core_.Advance(absl::Seconds(1));
  core_.Apply(Tick{});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING);
  core_.SayFailed(a_, "job", 2, absl::UnavailableError("gone again"));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_FAILED);
  EXPECT_THAT(FindCondition(core_.job("job").status(), "Completed")->message(),
              HasSubstr("gone again; max_restarts is 1"));
}

TEST_F(CoreRunTest, WorkersThatDisagreeOnTheStepDoNotRun) {
  a_ = core_.Hello("a");
  b_ = core_.Hello("b");
  core_.Submit("job", CoreHarness::Spec(2, 0, 9));
  for (SessionId session : {a_, b_}) core_.SayPrepared(session, "job", 1);
  core_.SayReady(a_, "job", 1, 2);
  core_.SayReady(b_, "job", 1, 4);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(core_.job("job").status().restarts(), 1);
}

TEST_F(CoreRunTest, SilentMembersAreLost) {
  Begin();
  core_.Pass(absl::Seconds(9), {a_, s_});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  core_.Pass(absl::Seconds(2));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_THAT(FindCondition(core_.job("job").status(), "Ready")->message(),
              HasSubstr("rank 1 (b): did not answer in time"));
}

TEST_F(CoreRunTest, ARoundHasABoundThatHeartbeatsDoNotExtend) {
  Begin();
  while (core_.AnswerPlan()) {
  }
  const auto wait = [&](absl::Duration time) { core_.Pass(time, {a_, b_, s_}); };
  wait(absl::Minutes(14));
  AllDone(0);
  wait(absl::Minutes(1));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING) << "15 minutes, not more";
  AllCommitted(0);
  wait(absl::Minutes(15));
  core_.SayRoundDone(a_, "job", 1, 1);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  wait(absl::Seconds(5));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(core_.job("job").status().restarts(), 1);
  const v1::Condition* ready = FindCondition(core_.job("job").status(), "Ready");
  EXPECT_EQ(ready->reason(), "RoundTimeout");
  EXPECT_THAT(ready->message(), HasSubstr("no round has ended for 15m, waiting for rank 1 (b), "
                                          "rank 2 (s) in step 2"));
  EXPECT_TRUE(core_.Sent(b_, Message::kRelease)[0].release().abort());
}

TEST_F(CoreRunTest, CancelStopsAtTheNextCommitOrAtTheEndOfTheGracePeriod) {
  JobSpec spec = CoreHarness::Spec(2, 1, 9);
  spec.checkpoint.directory = "checkpoints";
  Begin(spec);
  while (core_.AnswerPlan()) {
  }
  core_.Apply(CancelJob{2, "job", absl::Seconds(30)});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  AllDone(0);
  EXPECT_TRUE(core_.Sent(a_, Message::kCommit)[0].commit().checkpoint());
  AllCommitted(0);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  core_.SayCheckpoint(a_, "job", 1, 1);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_CANCELLED);
  EXPECT_EQ(core_.job("job").status().checkpoint(), "checkpoints/step-1");
  EXPECT_EQ(Releases(a_), 1u);

  core_ = CoreHarness();
  Begin(spec);
  core_.Apply(CancelJob{2, "job", absl::Seconds(3)});
  core_.Pass(absl::Seconds(3));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_CANCELLED);
  EXPECT_TRUE(core_.Sent(a_, Message::kRelease)[0].release().abort());
}

TEST_F(CoreRunTest, ALossThatIsNotFiniteIsNotCommitted) {
  Begin();
  core_.AnswerPlan();
  core_.SayRoundDone(a_, "job", 1, 0, std::numeric_limits<double>::quiet_NaN());
  core_.SayRoundDone(b_, "job", 1, 0);
  core_.SayRoundDone(s_, "job", 1, 0);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_FAILED);
  EXPECT_EQ(Commits(), 0u);
}

TEST_F(CoreRunTest, ANewSessionOfAMemberEndsTheOldOneAndItsRun) {
  Begin();
  const SessionId again = core_.Hello("a");
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  core_.Lose(a_);  // The old stream's end comes late and means nothing.
  core_.SayReleased(b_, "job", 1);
  core_.SayReleased(s_, "job", 1);
  core_.Advance(absl::Seconds(1));
  core_.Apply(Tick{});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING);
  EXPECT_EQ(core_.Sent(again, Message::kPrepare).size(), 1u);
}

TEST_F(CoreRunTest, AnotherProcessCannotTakeAMembersName) {
  Begin();
  const SessionId thief = core_.Hello("a", v1::MEMBER_ROLE_MODEL, "here", /*process_id=*/2);
  ASSERT_EQ(core_.last.size(), 1u);
  const auto* close = std::get_if<CloseSession>(&core_.last[0]);
  ASSERT_NE(close, nullptr);
  EXPECT_EQ(close->session, thief);
  EXPECT_THAT(std::string(close->reason.message()), HasSubstr("\"a\" is process 1 on here"));
  core_.Lose(thief);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
}

}  // namespace
}  // namespace rally
