// The core and the clock: silence, back-off between fruitless runs, and deadlines of jobs.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/coordinator/conditions.h"
#include "tests/services/core_harness.h"

namespace rally {
namespace {

using testing::HasSubstr;
using Message = v1::CoordinatorMessage;

class CoreTimeTest : public testing::Test {
 protected:
  void Begin(JobSpec spec) {
    a_ = core_.Hello("a");
    core_.Submit("job", spec);
    ASSERT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING);
  }
  void Round(uint32_t epoch, int64_t round) {
    while (core_.AnswerPlan()) {
    }
    core_.SayRoundDone(a_, "job", epoch, round);
    core_.SayCommitted(a_, "job", epoch, round);
  }
  void Fail(uint32_t epoch) {
    core_.SayFailed(a_, "job", epoch, absl::UnavailableError("gone"));
    core_.SayReleased(a_, "job", epoch);
  }
  void Pass(absl::Duration time) { core_.Pass(time, {a_}); }
  v1::Condition Condition(const char* type, const char* job = "job") const {
    const v1::Condition* found = FindCondition(core_.job(job).status(), type);
    return found == nullptr ? v1::Condition() : *found;
  }

  CoreHarness core_;
  SessionId a_ = 0;
};

TEST_F(CoreTimeTest, RunsWithoutAStepAreTriedAgainLaterAndLater) {
  JobSpec spec = CoreHarness::Spec(1, 0, 9);
  spec.max_restarts = 100;
  Begin(spec);
  uint32_t epoch = 1;
  for (const int64_t seconds : {1, 2, 4, 8, 16, 32, 60, 60}) {
    Fail(epoch++);
    EXPECT_EQ(Condition("Scheduled").status(), v1::CONDITION_STATUS_FALSE);
    EXPECT_EQ(Condition("Scheduled").reason(), "BackOff");
    const std::string until = absl::FormatTime(
        "%Y-%m-%dT%H:%M:%E3SZ", core_.now() + absl::Seconds(seconds), absl::UTCTimeZone());
    EXPECT_THAT(Condition("Scheduled").message(), HasSubstr(until));
    EXPECT_EQ(Condition("Ready").reason(), "MemberFailed");
    Pass(absl::Seconds(seconds) - absl::Milliseconds(1));
    EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED) << seconds;
    Pass(absl::Milliseconds(1));
    EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING) << seconds;
  }
  // A step makes good for all of them: that run is tried again at once, the next after a second.
  core_.Start({a_}, "job", epoch);
  Round(epoch, 0);
  Fail(epoch++);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING);
  Fail(epoch++);
  Pass(absl::Seconds(1));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING);
}

// A stopped process, a paused machine or a clock that is set: heartbeats wait in its sockets.
TEST_F(CoreTimeTest, NobodyWasSilentWhileTheCoordinatorStoodStill) {
  Begin(CoreHarness::Spec(1, 0, 9));
  core_.Start({a_}, "job", 1);
  Pass(absl::Seconds(1));
  core_.Advance(absl::Seconds(11));
  core_.Apply(Tick{});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  core_.Advance(-absl::Hours(1));
  core_.Apply(Tick{});
  core_.Advance(absl::Hours(1));
  core_.Apply(Tick{});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  core_.Pass(absl::Seconds(9));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  core_.Pass(absl::Seconds(1));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
}

TEST_F(CoreTimeTest, AJobThatBacksOffHoldsNobodyBack) {
  Begin(CoreHarness::Spec(1, 0, 9));
  core_.Advance(absl::Seconds(1));
  core_.Submit("other", CoreHarness::Spec(1, 0, 9));
  Fail(1);
  EXPECT_EQ(core_.phase("other"), v1::JOB_PHASE_STARTING);
}

TEST_F(CoreTimeTest, ARestartedCoordinatorForgetsTheBackOff) {
  Begin(CoreHarness::Spec(1, 0, 9));
  Fail(1);
  const v1::Job job = core_.job("job");
  core_ = CoreHarness();
  core_.Apply(Recover{{StoredJob{job, 99}}});
  core_.Hello("a");
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_STARTING);
}

JobSpec WithDeadline() {
  JobSpec spec = CoreHarness::Spec(1, 0, 9);
  spec.deadline_seconds = 5;
  spec.checkpoint.directory = "checkpoints";
  return spec;
}

TEST_F(CoreTimeTest, AJobPastItsDeadlineStopsAtItsNextCommitWithACheckpoint) {
  Begin(WithDeadline());
  core_.Start({a_}, "job", 1);
  Round(1, 0);
  Pass(absl::Seconds(4));
  Round(1, 1);
  EXPECT_FALSE(core_.Sent(a_, Message::kCommit).back().commit().checkpoint());
  Pass(absl::Seconds(1));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  Round(1, 2);
  EXPECT_TRUE(core_.Sent(a_, Message::kCommit).back().commit().checkpoint());
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  core_.SayCheckpoint(a_, "job", 1, 3);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_FAILED);
  EXPECT_EQ(Condition("Completed").reason(), "DeadlineExceeded");
  EXPECT_THAT(Condition("Completed").message(), HasSubstr("5 s after"));
  EXPECT_THAT(Condition("Completed").message(), HasSubstr("step 3"));
  EXPECT_EQ(core_.job("job").status().checkpoint(), "checkpoints/step-3");
}

TEST_F(CoreTimeTest, AJobThatDoesNotTrainFailsAtItsDeadline) {
  core_.Submit("queued", WithDeadline());
  core_.Advance(absl::Seconds(5));
  core_.Apply(Tick{});
  EXPECT_EQ(core_.phase("queued"), v1::JOB_PHASE_FAILED);
  EXPECT_EQ(Condition("Completed", "queued").reason(), "DeadlineExceeded");
  Begin(WithDeadline());
  Pass(absl::Seconds(5));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_FAILED);
  EXPECT_TRUE(core_.Sent(a_, Message::kRelease).back().release().abort());
}

TEST_F(CoreTimeTest, AJobPastItsDeadlineIsNotStarted) {
  core_.Submit("job", WithDeadline());
  core_.Advance(absl::Seconds(5));
  a_ = core_.Hello("a");
  EXPECT_TRUE(core_.Sent(a_, Message::kPrepare).empty());
}

TEST_F(CoreTimeTest, ALostMemberPastTheDeadlineEndsTheJob) {
  Begin(WithDeadline());
  core_.Start({a_}, "job", 1);
  Pass(absl::Seconds(5));
  core_.Lose(a_);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_FAILED);
  EXPECT_EQ(Condition("Completed").reason(), "DeadlineExceeded");
}

TEST_F(CoreTimeTest, ACancelStaysOne) {
  Begin(WithDeadline());
  core_.Start({a_}, "job", 1);
  core_.Apply(CancelJob{2, "job", absl::Seconds(30)});
  Pass(absl::Seconds(6));
  Round(1, 0);
  core_.SayCheckpoint(a_, "job", 1, 1);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_CANCELLED);
}

TEST_F(CoreTimeTest, AJobIsNotStoppedWhileItsMembersAreAwaited) {
  Begin(WithDeadline());
  core_.Start({a_}, "job", 1);
  const v1::Job job = core_.job("job");
  core_ = CoreHarness();
  core_.Apply(Recover{{StoredJob{job, 99}}});
  core_.Pass(absl::Seconds(6));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  core_.Pass(absl::Seconds(30));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_FAILED);
}

TEST_F(CoreTimeTest, AJobThatWaitsForAttentionServersFailsAtItsDeadline) {
  JobSpec spec = WithDeadline();
  spec.attention.dedicated = 1;
  const SessionId server = core_.Hello("s", v1::MEMBER_ROLE_ATTENTION);
  Begin(spec);
  core_.Start({a_, server}, "job", 1);
  core_.Lose(server);
  Pass(absl::Seconds(5));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_FAILED);
}

}  // namespace
}  // namespace rally
