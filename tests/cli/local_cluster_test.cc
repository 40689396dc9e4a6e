#include "services/cli/local_cluster.h"

#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/atomic_file.h"

namespace rally {
namespace {

using testing::HasSubstr;

constexpr absl::Duration kBound = absl::Seconds(30);

// Writes its address file, then runs until it is asked to stop.
constexpr char kGoodCoordinator[] =
    "for a in \"$@\"; do case $a in --address-file=*) f=${a#*=};; esac; done\n"
    "echo $$ > \"$(dirname \"$0\")/coordinator.pid\"\n"
    "echo '{\"grpc\":\"127.0.0.1:1234\",\"http\":\"127.0.0.1:1235\",\"pid\":1}' > \"$f\"\n"
    "exec sleep 600\n";
constexpr char kGoodWorker[] =
    "for a in \"$@\"; do case $a in --id=*) id=${a#*=};; esac; done\n"
    "echo \"$@\"\n"
    "echo $$ > \"$(dirname \"$0\")/$id.pid.partial\"\n"
    "mv \"$(dirname \"$0\")/$id.pid.partial\" \"$(dirname \"$0\")/$id.pid\"\n"
    "exec sleep 600\n";

bool IsAlive(pid_t pid) {
  const absl::StatusOr<std::string> stat = ReadFile(absl::StrCat("/proc/", pid, "/stat"));
  if (!stat.ok()) return false;
  const std::string state = stat->substr(stat->rfind(')') + 2, 1);
  return state != "Z" && state != "X";  // Nobody may have reaped an orphan.
}

template <typename Condition>
bool WaitFor(const Condition& condition) {
  Interruption never;
  const absl::Time deadline = absl::Now() + kBound;
  while (!condition()) {
    if (absl::Now() > deadline) return false;
    never.WaitUntil(absl::Now() + absl::Milliseconds(5));
  }
  return true;
}

class LocalClusterTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        absl::StrCat(testing::TempDir(), "/local_cluster_",
                     testing::UnitTest::GetInstance()->current_test_info()->name(), "_", getpid());
    std::filesystem::create_directories(directory_);
    WriteProgram("rally-coordinator", kGoodCoordinator);
    WriteProgram("rally-worker", kGoodWorker);
    options_.program_directory = directory_;
    options_.run_directory = directory_;
    options_.workers = 2;
    options_.attention_servers = 1;
    options_.threads = 3;
  }

  void TearDown() override { std::filesystem::remove_all(directory_); }

  void WriteProgram(const std::string& name, const std::string& body) {
    const std::string path = absl::StrCat(directory_, "/", name);
    std::ofstream(path) << "#!/bin/sh\n" << body;
    std::filesystem::permissions(path, std::filesystem::perms::owner_all);
  }

  absl::StatusOr<std::unique_ptr<LocalCluster>> Start() {
    return LocalCluster::Start(options_, &interruption_, [this](const absl::Status& why, bool) {
      interruption_.Interrupt(why);
    });
  }

  // 0 when the process has not written it yet.
  pid_t PidOf(const std::string& name) const {
    const absl::StatusOr<std::string> text = ReadFile(absl::StrCat(directory_, "/", name, ".pid"));
    pid_t pid = 0;
    return text.ok() && absl::SimpleAtoi(*text, &pid) ? pid : 0;
  }

  std::vector<pid_t> AllPids() const {
    std::vector<pid_t> pids;
    for (const char* name : {"coordinator", "worker-0", "worker-1", "attention-0"}) {
      if (PidOf(name) > 0) pids.push_back(PidOf(name));
    }
    return pids;
  }

  std::string directory_;
  LocalClusterOptions options_;
  Interruption interruption_;
};

TEST_F(LocalClusterTest, StartsEveryMemberAndLeavesNone) {
  const auto cluster = Start();
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  EXPECT_EQ((*cluster)->address(), "127.0.0.1:1234");
  EXPECT_EQ((*cluster)->http_address(), "127.0.0.1:1235");
  ASSERT_TRUE(WaitFor([&] { return AllPids().size() == 4; }));
  const std::vector<pid_t> pids = AllPids();
  for (const pid_t pid : pids) EXPECT_TRUE(IsAlive(pid));
  EXPECT_EQ(ReadFile(directory_ + "/attention-0.log").value(),
            "--role=attention --coordinator=127.0.0.1:1234 --id=attention-0 --threads=3\n");
  (*cluster)->Stop(kBound);
  for (const pid_t pid : pids) EXPECT_FALSE(IsAlive(pid));
  EXPECT_TRUE(interruption_.reason().ok());  // An ordered end is no death.
}

TEST_F(LocalClusterTest, KillsWhatDoesNotStop) {
  WriteProgram("rally-worker", absl::StrCat("trap '' TERM\n",
                                            "for a in \"$@\"; do case $a in --id=*) "
                                            "id=${a#*=};; esac; done\n"
                                            "echo $$ > \"$(dirname \"$0\")/$id.pid\"\n"
                                            "while :; do sleep 600; done\n"));
  const auto cluster = Start();
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  ASSERT_TRUE(WaitFor([&] { return AllPids().size() == 4; }));
  const std::vector<pid_t> pids = AllPids();
  (*cluster)->Stop(absl::Milliseconds(200));
  for (const pid_t pid : pids) EXPECT_FALSE(IsAlive(pid));
}

TEST_F(LocalClusterTest, ReportsAnEarlyDeathWithTheEndOfItsLog) {
  WriteProgram("rally-worker", "echo 'no such transport' >&2; exit 3\n");
  options_.workers = 1;
  options_.attention_servers = 0;
  const auto cluster = Start();
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  ASSERT_TRUE(interruption_.WaitUntil(absl::Now() + kBound));
  EXPECT_EQ(interruption_.reason().message(),
            "worker-0 exited with code 3; the end of its log:\n  no such transport");
}

TEST_F(LocalClusterTest, ReportsADeathBySignal) {
  const auto cluster = Start();
  ASSERT_TRUE(cluster.ok()) << cluster.status();
  ASSERT_TRUE(WaitFor([&] { return AllPids().size() == 4; }));
  kill(PidOf("worker-1"), SIGKILL);
  ASSERT_TRUE(interruption_.WaitUntil(absl::Now() + kBound));
  EXPECT_THAT(std::string(interruption_.reason().message()),
              HasSubstr("worker-1 was killed by signal 9"));
}

TEST_F(LocalClusterTest, FailsWhenTheCoordinatorDoes) {
  WriteProgram("rally-coordinator", "echo 'port 7070 is in use'; exit 1\n");
  const auto cluster = Start();
  EXPECT_EQ(cluster.status(),
            absl::UnavailableError("coordinator exited with code 1; the end of its log:\n"
                                   "  port 7070 is in use"));
}

TEST_F(LocalClusterTest, GivesUpOnACoordinatorThatNeverListens) {
  WriteProgram("rally-coordinator", "exec sleep 600\n");
  options_.start_timeout = absl::Milliseconds(100);
  const auto cluster = Start();
  EXPECT_EQ(cluster.status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(cluster.status().message()), HasSubstr("within 100ms"));
}

TEST_F(LocalClusterTest, AnInterruptionEndsTheStart) {
  WriteProgram("rally-coordinator", "exec sleep 600\n");
  interruption_.Interrupt(absl::CancelledError("interrupted"));
  EXPECT_EQ(Start().status(), absl::CancelledError("interrupted"));
}

TEST_F(LocalClusterTest, AMissingProgramIsNamed) {
  std::filesystem::remove(directory_ + "/rally-worker");
  const auto cluster = Start();
  EXPECT_EQ(cluster.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(std::string(cluster.status().message()), HasSubstr(directory_ + "/rally-worker"));
  EXPECT_TRUE(WaitFor([&] { return !IsAlive(PidOf("coordinator")); }));
}

// Whatever kills the parent, no child outlives it.
TEST_F(LocalClusterTest, ChildrenDieWithTheirParent) {
  const pid_t parent = fork();
  ASSERT_GE(parent, 0);
  if (parent == 0) {
    const auto cluster = Start();
    if (!cluster.ok() || !WaitFor([&] { return AllPids().size() == 4; })) _exit(1);
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(parent, &status, 0), parent);
  ASSERT_TRUE(WIFSIGNALED(status));
  ASSERT_EQ(AllPids().size(), 4u);
  for (const pid_t pid : AllPids()) EXPECT_TRUE(WaitFor([&] { return !IsAlive(pid); })) << pid;
}

}  // namespace
}  // namespace rally
