// What `rally chaos` is asked for, and what it does to processes.
#include "services/cli/chaos_command.h"

#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/atomic_file.h"
#include "services/cli/live_process.h"
#include "services/cli/process_image.h"
#include "services/cli/server_process.h"

namespace rally {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string WhyNot(const ChaosOptions& options) {
  const absl::Status status = PlanFault(options).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  return std::string(status.message());
}

TEST(ChaosOptionsTest, OneFaultIsChosenWithItsDefaults) {
  ChaosOptions options;
  EXPECT_THAT(WhyNot(options), HasSubstr("exactly one of --kill, --stop, --slow"));
  options.kill = "worker";
  EXPECT_EQ(FaultText(*PlanFault(options)), "kill worker");
  options.respawn = true;
  EXPECT_EQ(FaultText(*PlanFault(options)), "kill worker, respawn");
  options.stop = "worker";
  EXPECT_THAT(WhyNot(options), HasSubstr("not 2"));
  ChaosOptions slow;
  slow.slow = "coordinator";
  EXPECT_EQ(FaultText(*PlanFault(slow)), "slow coordinator by 10 for 2s");
  slow.slowdown = 4;
  slow.duration = "1500ms";
  EXPECT_EQ(FaultText(*PlanFault(slow)), "slow coordinator by 4 for 1.5s");
  ChaosOptions drop;
  drop.drop = "worker";
  EXPECT_EQ(FaultText(*PlanFault(drop)), "drop 5% of packets of worker for 2s");
  drop.percent = 0.5;
  EXPECT_EQ(FaultText(*PlanFault(drop)), "drop 0.5% of packets of worker for 2s");
  ChaosOptions disk;
  disk.fill_disk = true;
  EXPECT_EQ(FaultText(*PlanFault(disk)), "fill disk for 2s");
}

TEST(ChaosOptionsTest, WhatIsWrongIsNamed) {
  ChaosOptions options;
  options.stop = "server";
  EXPECT_THAT(WhyNot(options), HasSubstr("--stop: server is not one of attention-server"));
  options.stop = "worker";
  for (const char* duration : {"2", "0s", "2h", "-1s", "inf"}) {
    options.duration = duration;
    EXPECT_EQ(WhyNot(options),
              absl::StrCat("--for: ", duration, " is not a duration in [1ms, 1h], such as 2s"));
  }
  options.duration.reset();
  options.respawn = true;
  EXPECT_EQ(WhyNot(options), "--respawn: goes with --kill alone");
  options.respawn = false;
  options.slowdown = 5;
  EXPECT_EQ(WhyNot(options), "--by: goes with --slow alone");
  options.slowdown.reset();
  options.percent = 5;
  EXPECT_EQ(WhyNot(options), "--percent: goes with --drop alone");
  options.percent.reset();
  options.leave_bytes = 5;
  EXPECT_EQ(WhyNot(options), "--leave: goes with --fill-disk alone");
  options.leave_bytes.reset();
  options.yes = true;
  EXPECT_EQ(WhyNot(options), "--yes: goes with --fill-disk alone");
  ChaosOptions slow;
  slow.slow = "worker";
  slow.slowdown = 1;
  EXPECT_EQ(WhyNot(slow), "--by: 1 is not in [1.1, 50]");
  ChaosOptions drop;
  drop.drop = "worker";
  for (const double percent : {0.0, -1.0, 101.0}) {
    drop.percent = percent;
    EXPECT_EQ(WhyNot(drop), absl::StrCat("--percent: ", percent, " is not in (0, 100]"));
  }
  ChaosOptions kill;
  kill.kill = "worker";
  kill.duration = "2s";
  EXPECT_EQ(WhyNot(kill), "--for: a kill is not undone, see --respawn");
  ChaosOptions disk;
  disk.fill_disk = true;
  disk.leave_bytes = -1;
  EXPECT_THAT(WhyNot(disk), HasSubstr("--leave: -1 is not in [0, "));
}

TEST(DiskFaultTest, TheRootFileSystemIsSpared) {
  const FaultPlan plan{.kind = FaultKind::kFillDisk};
  const absl::Status status = MakeDiskFault(plan, "/no/such/directory").status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(status.message(), HasSubstr("--yes"));
  EXPECT_THAT(MakeDiskFault(plan, "").status().message(), HasSubstr("checkpoint.directory"));
}

TEST(DiskFaultTest, TheFileHasNoNameAndLeavesRoom) {
  const std::string directory = absl::StrCat(testing::TempDir(), "disk_fault_", getpid());
  std::filesystem::create_directories(directory);
  const std::filesystem::space_info room = std::filesystem::space(directory);
  const auto free = static_cast<int64_t>(geteuid() == 0 ? room.free : room.available);
  FaultPlan plan{.kind = FaultKind::kFillDisk, .on_root_too = true};
  plan.leave_bytes = free - (int64_t{16} << 20);  // Takes next to nothing.
  const auto fault = MakeDiskFault(plan, directory + "/checkpoints/mine");
  ASSERT_TRUE(fault.ok()) << fault.status();
  EXPECT_TRUE(std::filesystem::is_empty(directory));
  const Interruption interruption;
  EXPECT_EQ((*fault)->Run(interruption), absl::OkStatus());
  std::filesystem::remove_all(directory);
}

// Runs sleep in the root directory, with MARK in its environment.
std::unique_ptr<ServerProcess> StartSleeper(const std::string& log) {
  ServerCommand command = {
      "sleeper", "/usr/bin/env", {"-C", "/", "MARK=a b", "/bin/sleep", "1000"}, log};
  absl::StatusOr<std::unique_ptr<ServerProcess>> process = ServerProcess::Spawn(std::move(command));
  EXPECT_TRUE(process.ok()) << process.status();
  const absl::Time deadline = absl::Now() + absl::Seconds(30);
  while (!LiveProcess::Open((*process)->pid(), "sleep").ok() && absl::Now() < deadline) {
    (*process)->WaitForEnd(absl::Now() + absl::Milliseconds(5));  // Until env has become sleep.
  }
  return *std::move(process);
}

std::string OfProcess(pid_t pid, const std::string& file) {
  return ReadFile(absl::StrCat("/proc/", pid, "/", file)).value_or("nothing");
}

std::string LinkOfProcess(pid_t pid, const std::string& link) {
  return std::filesystem::read_symlink(absl::StrCat("/proc/", pid, "/", link)).string();
}

TEST(LiveProcessTest, OnlyTheProgramThatIsMeantIsStruck) {
  const std::string log = absl::StrCat(testing::TempDir(), "live_process_", getpid());
  const auto sleeper = StartSleeper(log);
  const auto other = LiveProcess::Open(sleeper->pid(), "rally-worker");
  EXPECT_EQ(other.status().code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(other.status().message(), HasSubstr("not a rally-worker"));
  sleeper->Kill();
  EXPECT_TRUE(absl::IsUnavailable(LiveProcess::Open(sleeper->pid(), "sleep").status()));
}

TEST(LiveProcessTest, ASignalReachesItUntilItHasEnded) {
  const auto self = LiveProcess::Open(getpid(), "chaos_command_test");
  ASSERT_TRUE(self.ok()) << self.status();
  EXPECT_FALSE((*self)->WaitForEnd(absl::Now()));
  EXPECT_EQ((*self)->Signal(0), absl::OkStatus());
}

TEST(LiveProcessTest, KnowsWhoStartedIt) {
  const std::string log = absl::StrCat(testing::TempDir(), "parent_", getpid());
  const auto sleeper = StartSleeper(log);
  const auto process = LiveProcess::Open(sleeper->pid(), "sleep");
  ASSERT_TRUE(process.ok()) << process.status();
  EXPECT_EQ((*process)->ParentProgram(), "chaos_command_test");
  sleeper->Kill();
  EXPECT_EQ((*process)->ParentProgram(), "");
}

TEST(ProcessImageTest, StartsTheSameAgain) {
  const std::string log = absl::StrCat(testing::TempDir(), "process_image_", getpid());
  const auto sleeper = StartSleeper(log);
  absl::StatusOr<ProcessImage> image = ProcessImage::Read(sleeper->pid());
  ASSERT_TRUE(image.ok()) << image.status();
  const std::string environment = OfProcess(sleeper->pid(), "environ");
  EXPECT_THAT(environment, HasSubstr(std::string("MARK=a b")));
  sleeper->Kill();
  const absl::StatusOr<pid_t> pid = image->Start();
  ASSERT_TRUE(pid.ok()) << pid.status();
  const auto again = LiveProcess::Open(*pid, "sleep");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(OfProcess(*pid, "environ"), environment);
  EXPECT_EQ(OfProcess(*pid, "cmdline"), std::string("/bin/sleep\0001000\0", 16));
  EXPECT_EQ(LinkOfProcess(*pid, "cwd"), "/");
  EXPECT_EQ(LinkOfProcess(*pid, "fd/0"), "/dev/null");
  EXPECT_EQ(LinkOfProcess(*pid, "fd/2"), log);
  EXPECT_THAT(OfProcess(*pid, "status"), Not(HasSubstr(absl::StrCat("PPid:\t", getpid(), "\n"))));
  EXPECT_EQ((*again)->Signal(SIGKILL), absl::OkStatus());
  EXPECT_TRUE((*again)->WaitForEnd(absl::Now() + absl::Seconds(30)));
}

TEST(ProcessImageTest, SaysWhyItsProgramCannotBeStarted) {
  const std::string program = absl::StrCat(testing::TempDir(), "gone_", getpid());
  std::filesystem::copy_file("/bin/sleep", program);
  const auto process = ServerProcess::Spawn({"gone", program, {"1000"}, program + ".log"});
  ASSERT_TRUE(process.ok()) << process.status();
  absl::StatusOr<ProcessImage> image = ProcessImage::Read((*process)->pid());
  ASSERT_TRUE(image.ok()) << image.status();
  std::filesystem::remove(program);
  const absl::Status status = image->Start().status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr(program));
}

}  // namespace
}  // namespace rally
