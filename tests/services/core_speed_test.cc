// The core's correction of speeds: what members took in committed steps weighs in the next plans.
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/services/core_harness.h"

namespace rally {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class CoreSpeedTest : public testing::Test {
 protected:
  // A worker and three servers.
  void Begin(const JobSpec& spec) {
    sessions_ = {core_.Hello("w")};
    for (const char* id : {"s", "t", "u"}) {
      if (spec.attention.dedicated == 0) break;
      sessions_.push_back(core_.Hello(id, v1::MEMBER_ROLE_ATTENTION));
    }
    core_.Submit("job", spec);
    core_.Start(sessions_, "job", 1);
    AnswerPlans();
  }

  static JobSpec Spec() { return CoreHarness::Spec(1, 3, 100); }

  void AnswerPlans() {
    while (core_.AnswerPlan()) {
    }
  }

  // A round in which every server computed as many pairs, in these seconds; the plan asked for
  // then.
  RequestPlan RunRound(int64_t round, const std::vector<double>& seconds) {
    for (size_t rank = 0; rank < sessions_.size(); ++rank) {
      const int64_t pairs = seconds[rank] > 0 ? 1000000 : 0;
      core_.SayAttentionDone(sessions_[rank], "job", 1, round, absl::Seconds(seconds[rank]), pairs);
    }
    core_.SayCommitted(sessions_[0], "job", 1, round);
    const RequestPlan request = core_.next_plan();
    AnswerPlans();
    return request;
  }

  CoreHarness core_;
  std::vector<SessionId> sessions_;
};

TEST_F(CoreSpeedTest, ASlowServerWeighsLessInTheNextPlansAndRecovers) {
  Begin(Spec());
  RequestPlan request;
  for (int64_t round = 0; round < 10; ++round) request = RunRound(round, {0, 1, 1, 4});
  ASSERT_THAT(request.weights, SizeIs(4));
  EXPECT_NEAR(request.weights[3] / request.weights[1], 0.25, 0.02);
  EXPECT_EQ(request.weights[1], request.weights[2]);
  EXPECT_EQ(request.weights[0], 1.0);  // It computes none.
  for (int64_t round = 10; round < 30; ++round) request = RunRound(round, {0, 1, 1, 1});
  EXPECT_THAT(request.weights, IsEmpty());
}

TEST_F(CoreSpeedTest, OneSlowRoundIsNotBelievedWhole) {
  Begin(Spec());
  const RequestPlan request = RunRound(0, {0, 1, 1, 4});
  ASSERT_THAT(request.weights, SizeIs(4));
  EXPECT_GT(request.weights[3] / request.weights[1], 0.5);
  EXPECT_LT(request.weights[3] / request.weights[1], 0.9);
}

TEST_F(CoreSpeedTest, EqualServersAreLeftAlone) {
  Begin(Spec());
  EXPECT_THAT(RunRound(0, {0, 1.0, 1.04, 0.98}).weights, IsEmpty());
}

TEST_F(CoreSpeedTest, ADeterministicJobIsPlannedByNoClock) {
  JobSpec spec = Spec();
  spec.deterministic = true;
  Begin(spec);
  for (int64_t round = 0; round < 5; ++round) {
    EXPECT_THAT(RunRound(round, {0, 1, 1, 4}).weights, IsEmpty());
  }
}

TEST_F(CoreSpeedTest, WithoutAPoolThereIsNothingToWeigh) {
  Begin(CoreHarness::Spec(1, 0, 100));
  EXPECT_THAT(RunRound(0, {3}).weights, IsEmpty());
}

}  // namespace
}  // namespace rally
