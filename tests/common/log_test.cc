#include "common/log.h"

#include <string>
#include <thread>
#include <vector>

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

class LogTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(SetupLogging("tester", "info").ok()); }

  std::unique_ptr<LogListenerHandle> Listen() {
    return AddLogListener([this](absl::Time time, LogSeverity severity, absl::string_view text) {
      times_.push_back(time);
      lines_.push_back(std::string(LogSeverityName(severity)) + " " + std::string(text));
    });
  }

  std::vector<absl::Time> times_;
  std::vector<std::string> lines_;
};

TEST_F(LogTest, WritesOneLineInAFixedForm) {
  testing::internal::CaptureStderr();
  RALLY_LOG_INFO("step {} took {} ms", 7, 12.5);
  RALLY_LOG_DEBUG("not shown");
  EXPECT_THAT(testing::internal::GetCapturedStderr(),
              MatchesRegex("[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z info "
                           "tester\\[[0-9]+\\] step 7 took 12\\.5 ms\n"));
}

TEST_F(LogTest, ListenersHearEveryLineAtTheLevel) {
  const absl::Time before = absl::Now() - absl::Microseconds(1);
  auto handle = Listen();
  RALLY_LOG_DEBUG("a");
  RALLY_LOG_INFO("b {}", 1);
  RALLY_LOG_WARN("c");
  RALLY_LOG_ERROR("d\ne");
  EXPECT_THAT(lines_, ElementsAre("info b 1", "warning c", "error d\ne"));
  for (const absl::Time time : times_) {
    EXPECT_GE(time, before);
    EXPECT_LE(time, absl::Now());
  }
}

TEST_F(LogTest, AnEndedHandleHearsNothing) {
  auto first = Listen();
  auto second = Listen();
  first.reset();
  RALLY_LOG_INFO("x");
  EXPECT_THAT(lines_, ElementsAre("info x"));
  ASSERT_TRUE(SetupLogging("tester", "error").ok());
  RALLY_LOG_INFO("too low now");
  RALLY_LOG_ERROR("y");
  EXPECT_THAT(lines_, ElementsAre("info x", "error y")) << "listeners survive a new set-up";
  second.reset();
  RALLY_LOG_ERROR("z");
  EXPECT_EQ(lines_.size(), 2u);
}

TEST_F(LogTest, ListenersAreCalledOneAtATime) {
  testing::internal::CaptureStderr();
  auto handle = Listen();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 100; ++i) RALLY_LOG_INFO("line {}", i);
    });
  }
  for (std::thread& thread : threads) thread.join();
  testing::internal::GetCapturedStderr();
  EXPECT_EQ(lines_.size(), 400u);
}

TEST_F(LogTest, RefusesAnUnknownLevel) {
  const absl::Status status = SetupLogging("tester", "loud");
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), ::testing::HasSubstr("\"loud\""));
}

}  // namespace
}  // namespace rally
