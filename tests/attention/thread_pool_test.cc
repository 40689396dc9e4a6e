#include "workers/attention/thread_pool.h"

#include <vector>

#include <gtest/gtest.h>

#include "common/cores.h"

namespace rally {
namespace {

// The cores of every thread of a pool.
std::vector<std::vector<int>> CoresByThread(int threads) {
  std::vector<std::vector<int>> cores(threads);
  ThreadPool pool(threads);
  pool.Run(threads, [&](int thread) { cores[thread] = AllowedCores(); });
  return cores;
}

TEST(ThreadPoolTest, ThreadsHaveACoreEachWhenThereAreAsManyOfBoth) {
  const std::vector<int> all = AllowedCores();
  const int usable = UsableCores();
  const std::vector<std::vector<int>> cores = CoresByThread(usable);
  EXPECT_EQ(cores[0], all) << "the caller's thread";
  if (usable < static_cast<int>(all.size())) GTEST_SKIP() << "fewer cores' time than cores";
  for (int thread = 1; thread < usable; ++thread) {
    EXPECT_EQ(cores[thread], std::vector<int>{all[thread]}) << thread;
  }
}

TEST(ThreadPoolTest, ThreadsGoWhereTheyWillWhenThereAreMoreOrFewerCores) {
  const std::vector<int> all = AllowedCores();
  for (const int threads : {UsableCores() - 1, UsableCores() + 1}) {
    if (threads < 1) continue;
    for (const std::vector<int>& cores : CoresByThread(threads)) EXPECT_EQ(cores, all);
  }
}

TEST(ThreadPoolTest, RunsOnAsManyThreadsAsAskedForAndNoMoreThanThereAre) {
  ThreadPool pool(3);
  for (const int wanted : {1, 2, 3, 4, 2}) {
    std::vector<int> calls(3);
    pool.Run(wanted, [&](int thread) { ++calls[thread]; });
    for (int thread = 0; thread < 3; ++thread) EXPECT_EQ(calls[thread], thread < wanted ? 1 : 0);
  }
}

}  // namespace
}  // namespace rally
