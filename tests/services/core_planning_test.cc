// The core and plans that fail or do not come.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/coordinator/conditions.h"
#include "tests/services/core_harness.h"

namespace rally {
namespace {

using testing::HasSubstr;

class CorePlanningTest : public testing::Test {
 protected:
  // Two workers and a server in a running job that waits for its first plan.
  void Begin() {
    a_ = core_.Hello("a");
    b_ = core_.Hello("b");
    s_ = core_.Hello("s", v1::MEMBER_ROLE_ATTENTION);
    core_.Submit("job", CoreHarness::Spec(2, 1, 4));
    core_.Start({a_, b_, s_}, "job", 1);
    ASSERT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
  }

  CoreHarness core_;
  SessionId a_ = 0, b_ = 0, s_ = 0;
};

TEST_F(CorePlanningTest, PlanningThatFailsForTheMachinesReasonsIsTriedAgain) {
  Begin();
  core_.Apply(PlanFailed{"job", 1, absl::UnavailableError("too many open files")});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(core_.job("job").status().restarts(), 1);
  EXPECT_THAT(FindCondition(core_.job("job").status(), "Ready")->message(),
              HasSubstr("UNAVAILABLE: too many open files"));
  core_ = CoreHarness();
  Begin();
  core_.Apply(PlanFailed{"job", 1, absl::InvalidArgumentError("no such plan")});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_FAILED);
  EXPECT_EQ(FindCondition(core_.job("job").status(), "Completed")->reason(), "PlanningFailed");
}

TEST_F(CorePlanningTest, ACancelOutlivesPlanningThatFails) {
  for (const absl::Status& status :
       {absl::UnavailableError("later"), absl::InvalidArgumentError("no such plan")}) {
    core_ = CoreHarness();
    Begin();
    core_.Apply(CancelJob{2, "job", absl::Seconds(30)});
    core_.Apply(PlanFailed{"job", 1, status});
    EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_CANCELLED) << status;
    EXPECT_EQ(core_.job("job").status().restarts(), 0);
  }
}

TEST_F(CorePlanningTest, APlanThatNeverComesIsARoundThatDoesNotEnd) {
  CoreOptions options;
  options.round_timeout = absl::Seconds(5);
  core_ = CoreHarness(options);
  Begin();
  core_.Pass(absl::Seconds(6), {a_, b_, s_});
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_THAT(FindCondition(core_.job("job").status(), "Ready")->message(),
              HasSubstr("no round has ended for 5s, waiting for a plan"));
}

}  // namespace
}  // namespace rally
