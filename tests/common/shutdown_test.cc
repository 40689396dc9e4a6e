// Every case that sends signals runs in a process of its own; exit codes tell what happened.
#include "common/shutdown.h"

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <thread>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

absl::Time Late() { return absl::Now() + absl::Seconds(30); }

// Runs `body` in a child; gives what waitpid reports.
int InChild(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) _exit(body());
  int status = -1;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return status;
}

// Exit code of `body`, -1 when it did not exit by itself.
int ExitCode(const std::function<int()>& body) {
  const int status = InChild(body);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(ShutdownTest, ASignalRequestsShutdown) {
  for (const int number : {SIGINT, SIGTERM}) {
    EXPECT_EQ(ExitCode([number] {
                auto shutdown = ShutdownSignal::Install();
                if (shutdown->requested()) return 1;
                kill(getpid(), number);
                if (!shutdown->WaitUntil(Late())) return 2;
                return shutdown->signal_number() == number ? 0 : 3;
              }),
              0);
  }
}

TEST(ShutdownTest, ASecondInterruptExitsAtOnce) {
  EXPECT_EQ(ExitCode([] {
              auto shutdown = ShutdownSignal::Install();
              kill(getpid(), SIGTERM);
              if (!shutdown->WaitUntil(Late())) return 1;
              kill(getpid(), SIGINT);
              poll(nullptr, 0, 30000);  // Stands for a shutdown that hangs.
              return 2;
            }),
            130);
}

TEST(ShutdownTest, ASecondTerminationDoesNothingMore) {
  EXPECT_EQ(ExitCode([] {
              auto shutdown = ShutdownSignal::Install();
              kill(getpid(), SIGTERM);
              if (!shutdown->WaitUntil(Late())) return 1;
              kill(getpid(), SIGTERM);
              return 0;
            }),
            0);
}

TEST(ShutdownTest, DestructionRestoresTheSignals) {
  const int status = InChild([] {
    ShutdownSignal::Install().reset();
    kill(getpid(), SIGTERM);
    return 0;
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

TEST(ShutdownTest, AChildMayResetTheSignals) {
  const int status = InChild([] {
    auto shutdown = ShutdownSignal::Install();
    ResetSignalsInChild();
    raise(SIGINT);
    return 0;
  });
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

TEST(ShutdownTest, RequestFromWithin) {
  auto shutdown = ShutdownSignal::Install();
  EXPECT_FALSE(shutdown->WaitUntil(absl::Now() + absl::Milliseconds(10)));
  std::thread requester([&shutdown] { shutdown->Request(); });
  EXPECT_TRUE(shutdown->WaitUntil(Late()));
  requester.join();
  EXPECT_TRUE(shutdown->requested());
  EXPECT_EQ(shutdown->signal_number(), 0);
}

TEST(ShutdownTest, TheCallbackRunsOnce) {
  auto shutdown = ShutdownSignal::Install();
  int calls = 0;
  shutdown->OnRequest([&calls] { ++calls; });
  EXPECT_EQ(calls, 0);
  shutdown->Request();
  shutdown->Request();
  EXPECT_EQ(calls, 1);
  int late_calls = 0;
  shutdown->OnRequest([&late_calls] { ++late_calls; });
  EXPECT_EQ(late_calls, 1) << "it was requested before";
  shutdown->OnRequest(nullptr);
}

}  // namespace
}  // namespace rally
