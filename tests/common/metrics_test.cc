// The text is judged by Prometheus's own checker.
#include "common/metrics.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/temp_directory.h"

namespace rally {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

// Exit status of `promtool check metrics < text`; its complaints go to the test's own output.
int CheckWithPromtool(const std::string& text) {
  TempDirectory temp;
  const std::string file = temp.Write("metrics.txt", text);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, file.c_str(), 0, 0);
  std::vector<std::string> command = {"promtool", "check", "metrics"};
  std::vector<char*> arguments = {command[0].data(), command[1].data(), command[2].data(), nullptr};
  pid_t pid = 0;
  const int error = posix_spawnp(&pid, "promtool", &actions, nullptr, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  EXPECT_EQ(error, 0) << "promtool is not installed";
  int status = -1;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return WEXITSTATUS(status);
}

TEST(MetricsTest, PassesPromtool) {
  MetricsRegistry metrics;
  metrics.Counter("rally_steps_total", "Steps committed.", {{"job", "a"}}).Increment(3);
  metrics.Counter("rally_steps_total", "Steps committed.", {{"job", "b \"quoted\"\n"}}).Increment();
  metrics.Gauge("rally_members", "Members registered.").Set(4);
  metrics
      .Histogram("rally_step_duration_seconds", "Time of a step.", ExponentialBounds(0.01, 2, 10))
      .Observe(0.5);
  EXPECT_EQ(CheckWithPromtool(metrics.Text()), 0) << metrics.Text();
  EXPECT_THAT(metrics.Text(), HasSubstr("rally_steps_total{job=\"a\"} 3\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("rally_members 4\n"));
  EXPECT_THAT(metrics.Text(), HasSubstr("rally_step_duration_seconds_count 1\n"));
}

TEST(MetricsTest, PromtoolWouldNotice) { EXPECT_NE(CheckWithPromtool("rally_steps{ 3\n"), 0); }

TEST(MetricsTest, TheSameLabelsAreTheSameMetric) {
  MetricsRegistry metrics;
  auto& first = metrics.Counter("rally_a_total", "A.", {{"x", "1"}, {"y", "2"}});
  auto& again = metrics.Counter("rally_a_total", "A.", {{"y", "2"}, {"x", "1"}});
  auto& other = metrics.Counter("rally_a_total", "A.", {{"x", "1"}, {"y", "3"}});
  EXPECT_EQ(&first, &again);
  EXPECT_NE(&first, &other);
}

TEST(MetricsTest, RemoveDropsWhatCarriesTheLabel) {
  MetricsRegistry metrics;
  for (const std::string job : {"a", "b"}) {
    metrics.Counter("rally_steps_total", "Steps.", {{"job", job}}).Increment();
    metrics.Gauge("rally_loss", "Loss.", {{"job", job}, {"split", "training"}}).Set(2);
    metrics.Histogram("rally_step_seconds", "Time.", {1, 2}, {{"job", job}}).Observe(1);
  }
  metrics.Remove("job", "a");
  EXPECT_THAT(metrics.Text(), Not(HasSubstr("job=\"a\"")));
  EXPECT_THAT(metrics.Text(), HasSubstr("rally_loss{job=\"b\",split=\"training\"} 2\n"));
  metrics.Remove("job", "b");
  EXPECT_EQ(CheckWithPromtool(metrics.Text()), 0) << metrics.Text();
  metrics.Counter("rally_steps_total", "Steps.", {{"job", "a"}}).Increment();
  EXPECT_THAT(metrics.Text(), HasSubstr("rally_steps_total{job=\"a\"} 1\n")) << "starts again";
}

TEST(MetricsTest, AnyThread) {
  MetricsRegistry metrics;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&metrics] {
      for (int i = 0; i < 500; ++i) {
        metrics.Counter("rally_a_total", "A.", {{"i", std::to_string(i % 5)}}).Increment();
      }
      EXPECT_THAT(metrics.Text(), HasSubstr("rally_a_total"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(metrics.Counter("rally_a_total", "A.", {{"i", "3"}}).Value(), 400);
}

TEST(MetricsDeathTest, DefectsEndTheProgram) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  MetricsRegistry metrics;
  metrics.Counter("rally_a", "A.");
  EXPECT_DEATH(metrics.Gauge("rally_a", "A."), "metric rally_a");
  EXPECT_DEATH(metrics.Counter("not a name", "A."), "metric not a name");
}

}  // namespace
}  // namespace rally
