#include "workers/session.h"

#include <memory>
#include <string>

#include <absl/synchronization/mutex.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include "tests/workers/fake_coordinator.h"
#include "workers/back_off.h"

namespace rally {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(20);

class RecordingHandler final : public SessionHandler {
 public:
  v1::Hello Greet() override {
    v1::Hello hello;
    hello.set_member_id("worker-7");
    hello.set_role(v1::MEMBER_ROLE_MODEL);
    return hello;
  }
  void OnWelcome() override {
    absl::MutexLock lock(&mutex_);
    ++welcomes_;
  }
  void OnMessage(const v1::CoordinatorMessage& message) override {
    absl::MutexLock lock(&mutex_);
    last_job_ = message.release().job().job_id();
  }
  void OnRefused(const absl::Status& reason) override {
    refusal_ = reason;
    refused_.Notify();
  }

  bool AwaitWelcomes(int count) {
    absl::MutexLock lock(&mutex_);
    const auto enough = [&]() { return welcomes_ >= count; };
    return mutex_.AwaitWithTimeout(absl::Condition(&enough), kPatience);
  }
  bool AwaitJob(const std::string& job) {
    absl::MutexLock lock(&mutex_);
    const auto there = [&]() { return last_job_ == job; };
    return mutex_.AwaitWithTimeout(absl::Condition(&there), kPatience);
  }

  absl::Notification refused_;
  absl::Status refusal_;

 private:
  absl::Mutex mutex_;
  int welcomes_ = 0;
  std::string last_job_;
};

class SessionTest : public ::testing::Test {
 protected:
  std::unique_ptr<Session> Start(const std::string& address) {
    SessionOptions options;
    options.coordinator = address;
    options.first_delay = absl::Milliseconds(10);
    options.longest_delay = absl::Milliseconds(100);
    return *Session::Start(options, &outbox_, &handler_);
  }

  v1::MemberMessage FailedMessage(const std::string& text) {
    v1::MemberMessage message;
    message.mutable_failed()->set_message(text);
    return message;
  }

  Outbox outbox_;
  RecordingHandler handler_;
};

TEST_F(SessionTest, SaysHelloThenSendsHeartbeatsAndMessages) {
  testing::FakeCoordinator coordinator;
  const auto session = Start(coordinator.address());
  const auto hello = coordinator.Next();
  ASSERT_TRUE(hello.has_value());
  EXPECT_EQ(hello->hello().member_id(), "worker-7");
  coordinator.Welcome(absl::Milliseconds(50));
  ASSERT_TRUE(handler_.AwaitWelcomes(1));
  EXPECT_TRUE(session->connected());
  for (int i = 0; i < 3; ++i) {
    const auto heartbeat = coordinator.Next();
    ASSERT_TRUE(heartbeat.has_value());
    EXPECT_TRUE(heartbeat->has_heartbeat());
  }
  ASSERT_TRUE(outbox_.Put(FailedMessage("one")));
  const auto answer = coordinator.NextAnswer();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->failed().message(), "one");

  v1::CoordinatorMessage release;
  release.mutable_release()->mutable_job()->set_job_id("a-job");
  coordinator.Say(release);
  EXPECT_TRUE(handler_.AwaitJob("a-job"));
}

TEST_F(SessionTest, ConnectsAgainAndForgetsWhatWasForTheOldStream) {
  testing::FakeCoordinator coordinator;
  const auto session = Start(coordinator.address());
  ASSERT_TRUE(coordinator.Next().has_value());
  // Not welcomed: nothing but Hello may be sent on this stream.
  ASSERT_TRUE(outbox_.Put(FailedMessage("stale")));
  coordinator.Drop();
  const auto hello = coordinator.NextAnswer();
  ASSERT_TRUE(hello.has_value());
  EXPECT_TRUE(hello->has_hello());
  coordinator.Welcome(absl::Milliseconds(50));
  ASSERT_TRUE(handler_.AwaitWelcomes(1));
  ASSERT_TRUE(outbox_.Put(FailedMessage("fresh")));
  const auto answer = coordinator.NextAnswer();
  ASSERT_TRUE(answer.has_value());
  EXPECT_EQ(answer->failed().message(), "fresh");
}

TEST_F(SessionTest, WaitsForACoordinatorThatComesLater) {
  int port = 0;
  { port = testing::FakeCoordinator().port(); }
  const auto session = Start("127.0.0.1:" + std::to_string(port));
  EXPECT_FALSE(session->connected());
  testing::FakeCoordinator coordinator(port);
  const auto hello = coordinator.Next();
  ASSERT_TRUE(hello.has_value());
  EXPECT_TRUE(hello->has_hello());
}

TEST_F(SessionTest, GivesUpWhenTheCoordinatorRefusesIt) {
  testing::FakeCoordinator coordinator;
  coordinator.RefuseWith({grpc::StatusCode::INVALID_ARGUMENT, "hello.role: no such role"});
  const auto session = Start(coordinator.address());
  ASSERT_TRUE(handler_.refused_.WaitForNotificationWithTimeout(kPatience));
  EXPECT_EQ(handler_.refusal_.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_EQ(handler_.refusal_.message(), "hello.role: no such role");
}

TEST_F(SessionTest, CloseSendsWhatIsLeft) {
  testing::FakeCoordinator coordinator;
  const auto session = Start(coordinator.address());
  ASSERT_TRUE(coordinator.Next().has_value());
  coordinator.Welcome(absl::Seconds(1));
  ASSERT_TRUE(handler_.AwaitWelcomes(1));
  for (int i = 0; i < 100; ++i) ASSERT_TRUE(outbox_.Put(FailedMessage(std::to_string(i))));
  session->Close(absl::Now() + kPatience);
  for (int i = 0; i < 100; ++i) {
    const auto answer = coordinator.NextAnswer();
    ASSERT_TRUE(answer.has_value());
    EXPECT_EQ(answer->failed().message(), std::to_string(i));
  }
}

TEST_F(SessionTest, ClosesPromptlyWithASilentCoordinator) {
  testing::FakeCoordinator coordinator;
  const auto session = Start(coordinator.address());
  ASSERT_TRUE(coordinator.Next().has_value());
  const absl::Time before = absl::Now();
  session->Close(absl::Now() + absl::Milliseconds(200));
  EXPECT_LT(absl::Now() - before, absl::Seconds(5));
}

TEST(BackOffTest, DoublesWithinBoundsAndIsDeterministic) {
  BackOff one(absl::Milliseconds(100), absl::Seconds(1), 5);
  BackOff two(absl::Milliseconds(100), absl::Seconds(1), 5);
  absl::Duration bound = absl::Milliseconds(100);
  for (int i = 0; i < 10; ++i) {
    const absl::Duration delay = one.Next();
    EXPECT_EQ(delay, two.Next());
    EXPECT_GE(delay, bound / 2);
    EXPECT_LE(delay, bound);
    bound = std::min(bound * 2, absl::Seconds(1));
  }
  one.Reset();
  EXPECT_LE(one.Next(), absl::Milliseconds(100));
}

}  // namespace
}  // namespace rally
