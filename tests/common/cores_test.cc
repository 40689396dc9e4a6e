#include "common/cores.h"

#include <sched.h>

#include <limits>
#include <string>
#include <thread>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/temp_directory.h"

namespace rally {
namespace {

using ::testing::ElementsAre;

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// A made-up root of a file system with control groups.
class Tree {
 public:
  Tree(const std::string& groups, const std::string& mounts) {
    folder_.Write("proc/self/cgroup", groups);
    folder_.Write("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda rw\n" + mounts);
  }
  Tree& Set(const std::string& file, const std::string& text) {
    folder_.Write("sys/fs/cgroup/" + file, text);
    return *this;
  }
  double limit() const { return CpuTimeLimit(folder_.path("")); }

 private:
  TempDirectory folder_;
};

constexpr char kUnified[] =
    "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";

TEST(CpuTimeLimitTest, IsTheTightestUpToTheMount) {
  Tree tree("0::/user.slice/job.scope\n", kUnified);
  EXPECT_EQ(tree.limit(), kNoLimit);
  tree.Set("user.slice/job.scope/cpu.max", "max 100000\n");
  EXPECT_EQ(tree.limit(), kNoLimit);
  tree.Set("user.slice/cpu.max", "350000 100000\n");
  EXPECT_EQ(tree.limit(), 3.5);
  tree.Set("user.slice/job.scope/cpu.max", "50000 20000\n");
  EXPECT_EQ(tree.limit(), 2.5);
  tree.Set("cpu.max", "100000 100000\n");
  EXPECT_EQ(tree.limit(), 1.0);
  // Another group's does not count.
  tree.Set("user.slice/other.scope/cpu.max", "1000 100000\n");
  EXPECT_EQ(tree.limit(), 1.0);
}

constexpr char kVersion1[] =
    "31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw,relatime - cgroup cgroup rw,cpu,cpuacct\n"
    "32 30 0:29 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset\n"
    "33 30 0:30 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

TEST(CpuTimeLimitTest, ReadsVersion1BesideVersion2) {
  Tree tree("5:cpuset:/\n4:cpu,cpuacct:/batch/job\n0::/\n", kVersion1);
  EXPECT_EQ(tree.limit(), kNoLimit);
  tree.Set("cpu,cpuacct/batch/job/cpu.cfs_quota_us", "-1\n");
  tree.Set("cpu,cpuacct/batch/job/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(tree.limit(), kNoLimit);
  tree.Set("cpu,cpuacct/batch/cpu.cfs_quota_us", "150000\n");
  tree.Set("cpu,cpuacct/batch/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(tree.limit(), 1.5);
  tree.Set("unified/cpu.max", "50000 100000\n");
  EXPECT_EQ(tree.limit(), 0.5);
}

// A container that sees its own group at the mount point, under the name the host gives it.
TEST(CpuTimeLimitTest, FindsTheMountedGroup) {
  Tree tree("4:cpu:/docker/abc\n",
            "31 30 0:28 /docker/abc /sys/fs/cgroup/cpu ro - cgroup cgroup rw,cpu\n");
  tree.Set("cpu/cpu.cfs_quota_us", "200000\n").Set("cpu/cpu.cfs_period_us", "100000\n");
  EXPECT_EQ(tree.limit(), 2.0);
  // Or that the process is in a group outside of what is mounted.
  Tree outside("0::/../other\n", kUnified);
  outside.Set("cpu.max", "200000 100000\n").Set("other/cpu.max", "100000 100000\n");
  EXPECT_EQ(outside.limit(), 2.0);
}

TEST(CpuTimeLimitTest, TakesWhatItCanNotReadForNoLimit) {
  EXPECT_EQ(CpuTimeLimit("/nowhere"), kNoLimit);
  Tree tree("0::/\nnonsense\n", "nonsense\n" + std::string(kUnified));
  for (const char* text : {"", "max", "100000", "0 100000", "100000 0", "many 100000", "1 2 3"}) {
    tree.Set("cpu.max", text);
    EXPECT_EQ(tree.limit(), kNoLimit) << text;
  }
}

TEST(CoresTest, AreCutToTheLimitRoundedUp) {
  EXPECT_EQ(CutToLimit(8, kNoLimit), 8);
  EXPECT_EQ(CutToLimit(8, 8.5), 8);
  EXPECT_EQ(CutToLimit(8, 2.0), 2);
  EXPECT_EQ(CutToLimit(8, 2.01), 3);
  EXPECT_EQ(CutToLimit(8, 0.1), 1);
}

TEST(CoresTest, AreThoseOfTheCallingThread) {
  const std::vector<int> all = AllowedCores();
  ASSERT_FALSE(all.empty());
  EXPECT_GE(UsableCores(), 1);
  EXPECT_LE(UsableCores(), static_cast<int>(all.size()));
  std::thread([&all] {
    cpu_set_t last;
    CPU_ZERO(&last);
    CPU_SET(all.back(), &last);
    ASSERT_EQ(sched_setaffinity(0, sizeof(last), &last), 0);
    EXPECT_THAT(AllowedCores(), ElementsAre(all.back()));
    EXPECT_EQ(UsableCores(), 1);
  }).join();
  EXPECT_EQ(AllowedCores(), all);
}

}  // namespace
}  // namespace rally
