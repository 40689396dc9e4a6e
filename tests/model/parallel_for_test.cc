#include "workers/model/parallel_for.h"

#include <omp.h>

#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

// What a loop did.
struct Ran {
  std::set<std::pair<int64_t, int64_t>> ranges;
  std::set<std::thread::id> threads;
};

Ran RunOver(int threads, int64_t count, int64_t grain) {
  const int before = at::get_num_threads();
  at::set_num_threads(threads);
  Ran ran;
  std::mutex mutex;
  ParallelFor(count, grain, [&](int64_t begin, int64_t end) {
    const std::lock_guard<std::mutex> lock(mutex);
    ran.ranges.insert({begin, end});
    ran.threads.insert(std::this_thread::get_id());
  });
  at::set_num_threads(before);
  return ran;
}

TEST(ParallelFor, RangesMakeUpTheWholeOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    for (const int64_t count : {1, 5, 64, 100, 1001}) {
      for (const int64_t grain : {1, 10, 64, 2000}) {
        SCOPED_TRACE(::testing::Message() << threads << " threads, " << count << " by " << grain);
        const Ran ran = RunOver(threads, count, grain);
        int64_t next = 0;
        for (const auto& [begin, end] : ran.ranges) {
          EXPECT_EQ(begin, next);
          EXPECT_TRUE(end - begin >= grain || end == count) << begin << " to " << end;
          next = end;
        }
        EXPECT_EQ(next, count);
      }
    }
  }
}

TEST(ParallelFor, NothingToDoIsNoCall) { EXPECT_TRUE(RunOver(3, 0, 1).ranges.empty()); }

TEST(ParallelFor, SmallLoopsStayOnTheCaller) {
  EXPECT_EQ(RunOver(3, 10, 10).threads, std::set{std::this_thread::get_id()});
}

TEST(ParallelFor, LoopsWithinLoopsStayOnTheirThread) {
  std::mutex mutex;
  std::set<std::thread::id> strangers;
  const int threads = at::get_num_threads();
  const int levels = omp_get_max_active_levels();
  at::set_num_threads(2);
  omp_set_max_active_levels(2);  // OpenMP would make threads for the inner loops too.
  ParallelFor(2, 1, [&](int64_t, int64_t) {
    const std::thread::id own = std::this_thread::get_id();
    ParallelFor(100, 1, [&](int64_t, int64_t) {
      const std::lock_guard<std::mutex> lock(mutex);
      if (std::this_thread::get_id() != own) strangers.insert(std::this_thread::get_id());
    });
  });
  EXPECT_TRUE(strangers.empty());
  omp_set_max_active_levels(levels);
  at::set_num_threads(threads);
}

// The thread sanitizer's build has one thread (workers/model/CMakeLists.txt).
#ifndef __SANITIZE_THREAD__
TEST(ParallelFor, RunsOnAsManyThreadsAsLibTorch) {
  for (const int threads : {1, 2, 3}) {
    EXPECT_EQ(RunOver(threads, 1000, 1).threads.size(), static_cast<size_t>(threads));
  }
}
#endif

}  // namespace
}  // namespace rally
