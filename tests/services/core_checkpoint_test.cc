// The core's checkpoints: when they are asked for, what waits for them, what their failures do.
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/coordinator/conditions.h"
#include "tests/services/core_harness.h"

namespace rally {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Message = v1::CoordinatorMessage;

class CoreCheckpointTest : public testing::Test {
 protected:
  void Begin(int64_t steps, int64_t every) {
    JobSpec spec = CoreHarness::Spec(2, 0, steps);
    spec.checkpoint.directory = "checkpoints";
    spec.checkpoint.every = every;
    a_ = core_.Hello("a");
    b_ = core_.Hello("b");
    core_.Submit("job", spec);
    core_.Start({a_, b_}, "job", 1);
  }

  void Round(int64_t round) {
    Done(round);
    core_.SayCommitted(a_, "job", 1, round);
    core_.SayCommitted(b_, "job", 1, round);
  }
  void Done(int64_t round) {
    while (core_.AnswerPlan()) {
    }
    core_.SayRoundDone(a_, "job", 1, round);
    core_.SayRoundDone(b_, "job", 1, round);
  }
  void Saved(int64_t step, const absl::Status& status = absl::OkStatus()) {
    core_.SayCheckpoint(a_, "job", 1, step, status);
  }

  // Steps whose commits asked for a checkpoint.
  std::vector<int64_t> Asked() const {
    std::vector<int64_t> steps;
    int64_t step = 0;
    for (const Message& message : core_.Sent(b_, Message::kCommit)) {
      ++step;
      if (message.commit().checkpoint()) steps.push_back(step);
    }
    return steps;
  }
  const v1::Condition& Condition() const {
    static const v1::Condition none;
    const v1::Condition* found = FindCondition(core_.job("job").status(), "CheckpointSaved");
    return found != nullptr ? *found : none;
  }
  std::string checkpoint() const { return core_.job("job").status().checkpoint(); }

  CoreHarness core_;
  SessionId a_ = 0, b_ = 0;
};

TEST_F(CoreCheckpointTest, AreWrittenOnScheduleAndTheLastIsWaitedFor) {
  Begin(/*steps=*/3, /*every=*/2);
  Round(0);
  Round(1);
  EXPECT_EQ(checkpoint(), "");
  Saved(2);
  EXPECT_EQ(checkpoint(), "checkpoints/step-2");
  EXPECT_EQ(Condition().message(), "step 2");
  Round(2);
  EXPECT_THAT(Asked(), ElementsAre(2, 3));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  EXPECT_TRUE(core_.Sent(a_, Message::kRelease).empty());
  Saved(3);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_SUCCEEDED);
  EXPECT_EQ(checkpoint(), "checkpoints/step-3");
  EXPECT_FALSE(core_.Sent(a_, Message::kRelease)[0].release().abort());
}

TEST_F(CoreCheckpointTest, TheNextOneWaitsForTheOneBeingWritten) {
  Begin(/*steps=*/8, /*every=*/2);
  for (int64_t round = 0; round < 5; ++round) Round(round);
  EXPECT_THAT(Asked(), ElementsAre(2));
  Saved(2);
  Round(5);
  EXPECT_THAT(Asked(), ElementsAre(2, 6));
  Saved(6);
  EXPECT_THAT(Condition().message(), HasSubstr("step 6, due at step 4"));
  Round(6);
  EXPECT_THAT(Asked(), ElementsAre(2, 6));
}

TEST_F(CoreCheckpointTest, TheLastIsAskedForThoughOneIsBeingWritten) {
  Begin(/*steps=*/3, /*every=*/2);
  for (int64_t round = 0; round < 3; ++round) Round(round);
  EXPECT_THAT(Asked(), ElementsAre(2, 3));
  Saved(2);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  Saved(3);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_SUCCEEDED);
}

TEST_F(CoreCheckpointTest, AReportThatComesBeforeTheStepsCommitFollowsIt) {
  Begin(/*steps=*/4, /*every=*/1);
  Done(0);
  core_.SayCommitted(a_, "job", 1, 0);
  Saved(1);
  EXPECT_EQ(checkpoint(), "");
  core_.SayCommitted(b_, "job", 1, 0);
  EXPECT_EQ(checkpoint(), "checkpoints/step-1");
  std::vector<v1::JobEvent::EventCase> kinds;
  for (const v1::JobEvent& event : core_.events) {
    if (!event.has_status()) kinds.push_back(event.event_case());
  }
  EXPECT_THAT(kinds, ElementsAre(v1::JobEvent::kStep, v1::JobEvent::kCheckpoint));
  Round(1);
  EXPECT_THAT(Asked(), ElementsAre(1, 2));
}

TEST_F(CoreCheckpointTest, AFailureIsAConditionAndTrainingGoesOn) {
  Begin(/*steps=*/4, /*every=*/1);
  Round(0);
  Saved(1);
  Round(1);
  Saved(2, absl::ResourceExhaustedError("write checkpoints/x: No space left on device"));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  EXPECT_EQ(Condition().status(), v1::CONDITION_STATUS_FALSE);
  EXPECT_EQ(Condition().reason(), "DiskFull");
  EXPECT_EQ(Condition().message(), "step 2: write checkpoints/x: No space left on device");
  EXPECT_EQ(checkpoint(), "checkpoints/step-1");
  Round(2);
  Saved(3, absl::PermissionDeniedError("checkpoints/y"));
  EXPECT_EQ(Condition().reason(), "ReadOnly");
  Round(3);
  EXPECT_THAT(Asked(), ElementsAre(1, 2, 3, 4));
  Saved(4);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_SUCCEEDED);
  EXPECT_EQ(Condition().status(), v1::CONDITION_STATUS_TRUE);
}

TEST_F(CoreCheckpointTest, AJobWhoseLastCheckpointIsNotWrittenHasNotSucceeded) {
  Begin(/*steps=*/1, /*every=*/0);
  Round(0);
  Saved(1, absl::ResourceExhaustedError("no space on x"));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_FAILED);
  const v1::Condition* completed = FindCondition(core_.job("job").status(), "Completed");
  EXPECT_EQ(completed->reason(), "DiskFull");
  EXPECT_THAT(completed->message(), HasSubstr("no space on x"));

  // What may be better next time is tried again.
  core_ = CoreHarness();
  Begin(/*steps=*/1, /*every=*/0);
  Round(0);
  Saved(1, absl::DeadlineExceededError("worker 1 has not written its shard"));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(core_.job("job").status().restarts(), 1);
}

TEST_F(CoreCheckpointTest, AMemberThatLeavesWaitsForTheCheckpoint) {
  Begin(/*steps=*/9, /*every=*/0);
  while (core_.AnswerPlan()) {
  }
  v1::MemberMessage leaving;
  leaving.mutable_leaving();
  core_.Say(b_, leaving);
  Round(0);
  Done(1);  // Of the plan that was with the members already: to be dropped.
  EXPECT_THAT(Asked(), ElementsAre(1));
  EXPECT_EQ(core_.Sent(a_, Message::kCommit).size(), 1u);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  Saved(1);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_TRUE(core_.Sent(b_, Message::kRelease)[0].release().abort());
  EXPECT_EQ(core_.job("job").status().restarts(), 0);
}

TEST_F(CoreCheckpointTest, ARunDoesNotWaitForItsLastCheckpointForEver) {
  CoreOptions options;
  options.round_timeout = absl::Seconds(5);
  core_ = CoreHarness(options);
  Begin(/*steps=*/1, /*every=*/0);
  Round(0);
  core_.Pass(absl::Seconds(6));
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_THAT(FindCondition(core_.job("job").status(), "Ready")->message(),
              HasSubstr("waiting for the checkpoint of step 1"));
}

TEST_F(CoreCheckpointTest, ADamagedOneThatWasPassedOverIsACondition) {
  Begin(/*steps=*/4, /*every=*/2);
  core_.SayCheckpoint(a_, "job", 1, 30, absl::DataLossError("cut short; continuing from step 20"));
  EXPECT_EQ(Condition().reason(), "Damaged");
  EXPECT_EQ(Condition().message(), "step 30: cut short; continuing from step 20");
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
}

TEST_F(CoreCheckpointTest, AJobThatHasOneNeverBeginsAnew) {
  Begin(/*steps=*/4, /*every=*/1);
  EXPECT_EQ(core_.Sent(a_, Message::kPrepare)[0].prepare().checkpoint_step(), 0);
  Round(0);
  Saved(1);
  Round(1);
  Saved(2);
  core_.SayFailed(b_, "job", 1, absl::UnavailableError("broken"));
  core_.SayReleased(a_, "job", 1);
  core_.SayReleased(b_, "job", 1);
  EXPECT_EQ(core_.Sent(b_, Message::kPrepare).back().prepare().checkpoint_step(), 2);
  core_.Start({a_, b_}, "job", 2, /*step=*/0);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(core_.job("job").status().step(), 2);
  const v1::Condition* ready = FindCondition(core_.job("job").status(), "Ready");
  EXPECT_EQ(ready->reason(), "CheckpointMissing");
  EXPECT_THAT(ready->message(), HasSubstr("of step 2"));

  // An older one will do: the newest may be damaged. It is the newest from then on.
  core_.SayReleased(a_, "job", 2);
  core_.SayReleased(b_, "job", 2);
  core_.Advance(absl::Seconds(2));  // Of back-off.
  core_.Apply(Tick{});
  core_.Start({a_, b_}, "job", 3, /*step=*/1);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  EXPECT_EQ(core_.job("job").status().checkpoint_step(), 1);
}

TEST_F(CoreCheckpointTest, WhatAJobResumedFromIsKnownToBeThere) {
  JobSpec spec = CoreHarness::Spec(1, 0, 40);
  spec.checkpoint.directory = "checkpoints";
  spec.checkpoint.resume = true;
  a_ = core_.Hello("a");
  core_.Submit("job", spec);
  core_.Start({a_}, "job", 1, /*step=*/30);
  core_.SayFailed(a_, "job", 1, absl::UnavailableError("broken"));
  core_.SayReleased(a_, "job", 1);
  core_.Advance(absl::Seconds(2));  // Of back-off.
  core_.Apply(Tick{});
  EXPECT_EQ(core_.Sent(a_, Message::kPrepare).back().prepare().checkpoint_step(), 30);
}

TEST_F(CoreCheckpointTest, APacedJobHasNone) {
  JobSpec spec = CoreHarness::Spec(1, 0, 1);
  spec.checkpoint.directory = "checkpoints";
  spec.paced.profile = "a profile";
  a_ = b_ = core_.Hello("a");
  core_.Submit("job", spec);
  core_.Start({a_}, "job", 1);
  core_.AnswerPlan();
  core_.SayRoundDone(a_, "job", 1, 0);
  EXPECT_EQ(core_.Sent(a_, Message::kCommit).size(), 1u);
  EXPECT_THAT(Asked(), ElementsAre());
}

}  // namespace
}  // namespace rally
