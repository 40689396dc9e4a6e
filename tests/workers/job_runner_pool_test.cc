// A member whose attention servers change.
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/workers/job_runner_fixture.h"
#include "workers/transport/ucx_transport.h"

namespace rally {
namespace {

using ::testing::HasSubstr;

// The worker, which can compute in place, and at most one attention server: the test plays it.
class JobRunnerPoolTest : public testing::JobRunnerTest {
 protected:
  JobRunnerPoolTest() {
    spec_.attention.dedicated = 1;
    spec_.attention.in_place = true;
  }

  // To the next epoch.
  v1::Prepared Regroup(uint32_t epoch, int32_t servers) {
    v1::CoordinatorMessage message;
    *message.mutable_regroup()->mutable_job() = Epoch(epoch);
    message.mutable_regroup()->set_epoch(epoch + 1);
    message.mutable_regroup()->set_ranks(1 + servers);
    message.mutable_regroup()->set_single_host(true);
    message.mutable_regroup()->set_reason("the test says so");
    runner_->Handle(message);
    const v1::MemberMessage prepared = Answer();
    EXPECT_TRUE(prepared.has_prepared()) << prepared.DebugString();
    return prepared.prepared();
  }
  void ExpectTrouble(const std::string& about) {
    const v1::MemberMessage trouble = Answer();
    EXPECT_TRUE(trouble.trouble().failed()) << trouble.DebugString();
    EXPECT_THAT(trouble.trouble().message(), HasSubstr(about));
  }
  // The round is run to its end, in place.
  void ExpectRoundIn(uint32_t epoch, const v1::Prepared& prepared) {
    Connect(epoch, prepared);
    EXPECT_TRUE(Answer().has_ready());
    SendPlan(epoch, 0, 1, {});
    const v1::MemberMessage done = Answer();
    ASSERT_TRUE(done.has_round_done()) << done.DebugString();
    EXPECT_EQ(done.round_done().round(), 0);
    EXPECT_EQ(done.round_done().job().epoch(), epoch);
  }

  static std::unique_ptr<Transport> MakeServer() {
    UcxOptions options;
    options.rank = 1;
    options.ranks = 2;
    auto server = MakeUcxTransport(options);
    EXPECT_TRUE(server.ok()) << server.status();
    return *std::move(server);
  }
  static std::string AddressOfADeadServer() { return MakeServer()->address(); }
};

TEST_F(JobRunnerPoolTest, AServerThatDiesBeforeTheConnectIsTroubleAndNoFailure) {
  EXPECT_EQ(BringUp(1), 0);
  const v1::Prepared prepared = Regroup(1, 1);
  Connect(2, prepared, AddressOfADeadServer());
  ExpectTrouble("rank 1 cannot be reached");
  SendPlan(2, 0, 1, {}, PlanKind::kTrain, 1);  // It was sent with the Connect.
  ExpectRoundIn(3, Regroup(2, 0));
}

// The phase timeout bounds the wait for a change of the pool, and not how long the change takes.
TEST_F(JobRunnerPoolTest, ARoundWaitsForAServerWithoutEnd) {
  runner_.reset();
  resources_.phase_timeout = absl::Seconds(2);
  StartRunner();
  EXPECT_EQ(BringUp(1), 0);
  const std::unique_ptr<Transport> silent = MakeServer();
  const v1::Prepared prepared = Regroup(1, 1);
  ASSERT_TRUE(silent->Connect({prepared.transport_address(), silent->address()}, "").ok());
  Connect(2, prepared, silent->address());
  EXPECT_TRUE(Answer().has_ready());
  SendPlan(2, 0, 1, {}, PlanKind::kTrain, 1);
  ExpectTrouble("forward");

  const v1::Prepared with_dead = Regroup(2, 1);
  EXPECT_EQ(with_dead.standing().round(), 0);
  EXPECT_TRUE(with_dead.standing().begun());
  Connect(3, with_dead, AddressOfADeadServer());
  ExpectTrouble("rank 1 cannot be reached");
  SendPlan(3, 0, 1, {}, PlanKind::kTrain, 1);

  const v1::Prepared alone = Regroup(3, 0);
  const auto meanwhile = outbox_.Take(absl::Now() + 2 * resources_.phase_timeout);
  EXPECT_FALSE(meanwhile.has_value()) << meanwhile->DebugString();
  ExpectRoundIn(4, alone);
}

}  // namespace
}  // namespace rally
