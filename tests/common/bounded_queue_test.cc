#include "common/bounded_queue.h"

#include <memory>
#include <set>
#include <thread>
#include <vector>

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

absl::Time Soon() { return absl::Now() + absl::Milliseconds(10); }
absl::Time Late() { return absl::Now() + absl::Seconds(30); }

TEST(BoundedQueueTest, FirstInFirstOut) {
  BoundedQueue<std::unique_ptr<int>> queue(3);
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(queue.Push(std::make_unique<int>(i), Soon()));
  EXPECT_EQ(queue.size(), 3u);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(**queue.Pop(Soon()), i);
}

TEST(BoundedQueueTest, WaitsOnlyUntilTheDeadline) {
  BoundedQueue<int> queue(1);
  EXPECT_FALSE(queue.Pop(Soon()).has_value());
  EXPECT_TRUE(queue.Push(1, Soon()));
  EXPECT_FALSE(queue.Push(2, Soon())) << "full";
  EXPECT_EQ(queue.Pop(absl::InfinitePast()), 1) << "what is there needs no wait";
}

TEST(BoundedQueueTest, CloseRefusesProducersAndLetsConsumersDrain) {
  BoundedQueue<int> queue(2);
  EXPECT_TRUE(queue.Push(1, Soon()));
  queue.Close();
  EXPECT_TRUE(queue.closed());
  EXPECT_FALSE(queue.Push(2, Late()));
  EXPECT_EQ(queue.Pop(Late()), 1);
  EXPECT_FALSE(queue.Pop(Late()).has_value());
}

TEST(BoundedQueueTest, CloseWakesEverybody) {
  BoundedQueue<int> full(1), empty(1);
  ASSERT_TRUE(full.Push(1, Soon()));
  bool pushed = true, popped = true;
  const absl::Time start = absl::Now();
  std::thread producer([&] { pushed = full.Push(2, Late()); });
  std::thread consumer([&] { popped = empty.Pop(Late()).has_value(); });
  full.Close();
  empty.Close();
  producer.join();
  consumer.join();
  EXPECT_FALSE(pushed);
  EXPECT_FALSE(popped);
  EXPECT_LT(absl::Now() - start, absl::Seconds(25)) << "nobody waited for the deadline";
}

TEST(BoundedQueueTest, ManyThreadsLoseAndRepeatNothing) {
  constexpr int kThreads = 4, kEach = 2000;
  BoundedQueue<int> queue(7);
  std::vector<std::vector<int>> taken(kThreads);
  std::vector<std::thread> producers, consumers;
  for (int t = 0; t < kThreads; ++t) {
    producers.emplace_back([&queue, t] {
      for (int i = 0; i < kEach; ++i) EXPECT_TRUE(queue.Push(t * kEach + i, Late()));
    });
    consumers.emplace_back([&queue, &mine = taken[t]] {
      while (auto item = queue.Pop(Late())) mine.push_back(*item);
    });
  }
  for (std::thread& producer : producers) producer.join();
  queue.Close();
  for (std::thread& consumer : consumers) consumer.join();
  std::set<int> all;
  size_t count = 0;
  for (const auto& mine : taken) {
    all.insert(mine.begin(), mine.end());
    count += mine.size();
  }
  EXPECT_EQ(count, static_cast<size_t>(kThreads * kEach));
  EXPECT_EQ(all.size(), count);
}

}  // namespace
}  // namespace rally
