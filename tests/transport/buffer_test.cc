#include "workers/transport/buffer.h"

#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace rally {
namespace {

TEST(BufferPoolTest, GivesWhatIsAskedForAligned) {
  BufferPool pool;
  for (size_t bytes : {size_t{0}, size_t{1}, size_t{4096}, size_t{4097}, size_t{100000},
                       (size_t{2} << 20) - 1, size_t{2} << 20, (size_t{9} << 20) + 13}) {
    Buffer buffer = pool.Allocate(bytes);
    EXPECT_EQ(buffer.size(), bytes);
    ASSERT_NE(buffer.data(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    std::memset(buffer.data(), 0x5A, bytes);
  }
}

TEST(BufferPoolTest, LargeBlocksBeginOnHugePages) {
  BufferPool pool;
  Buffer buffer = pool.Allocate(size_t{5} << 20);
  EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % (size_t{2} << 20), 0u);
}

TEST(BufferPoolTest, WastesAtMostAQuarter) {
  for (size_t bytes = 4096; bytes < (size_t{3} << 20); bytes += 4099) {
    BufferPool pool;
    Buffer buffer = pool.Allocate(bytes);
    ASSERT_GE(pool.mapped_bytes(), bytes);
    ASSERT_LE(pool.mapped_bytes(), bytes + bytes / 4 + 1) << bytes;
    bytes += bytes / 3;
  }
}

TEST(BufferPoolTest, SteadyStateMapsNothing) {
  BufferPool pool;
  std::byte* first = nullptr;
  size_t mapped = 0;
  for (int step = 0; step < 10; ++step) {
    Buffer large = pool.Allocate(3000000 - step);  // All of one size class.
    Buffer small = pool.Allocate(100);
    if (step == 0) {
      first = large.data();
      mapped = pool.mapped_bytes();
    }
    EXPECT_EQ(large.data(), first);
    EXPECT_EQ(pool.mapped_bytes(), mapped);
  }
}

TEST(BufferPoolTest, TakesALargerBlockThatIsFree) {
  BufferPool pool;
  const std::byte* large = pool.Allocate(1 << 20).data();
  Buffer half = pool.Allocate((1 << 19) + 1);
  EXPECT_EQ(half.data(), large);
  const size_t mapped = pool.mapped_bytes();
  const Buffer other = pool.Allocate(1 << 19);
  EXPECT_GT(pool.mapped_bytes(), mapped);
  half = Buffer();
  const Buffer small = pool.Allocate(1 << 18);  // Less than half of it.
  EXPECT_NE(small.data(), large);
}

// Sizes differ with every plan.
TEST(BufferPoolTest, DoesNotKeepEverySizeThatEverWas) {
  constexpr size_t kMebi = size_t{1} << 20;
  BufferPool pool;
  for (size_t bytes = kMebi; bytes <= 64 * kMebi; bytes += 4 * kMebi + 4099) {
    Buffer buffer = pool.Allocate(bytes);
    std::memset(buffer.data(), 1, bytes);
    ASSERT_LE(pool.mapped_bytes(), 2 * 64 * kMebi) << bytes;
  }
}

TEST(BufferPoolTest, ForgetsALargerJob) {
  constexpr size_t kMebi = size_t{1} << 20;
  BufferPool pool;
  pool.Allocate(64 * kMebi);
  std::vector<Buffer> buffers;
  for (int i = 0; i < 100; ++i) buffers.push_back(pool.Allocate(4096));
  EXPECT_LT(pool.mapped_bytes(), 64 * kMebi);
}

TEST(BufferPoolTest, LiveBuffersDoNotOverlap) {
  BufferPool pool;
  std::vector<Buffer> buffers;
  for (int i = 0; i < 50; ++i) {
    buffers.push_back(pool.Allocate(5000));
    std::memset(buffers.back().data(), i, 5000);
  }
  for (int i = 0; i < 50; ++i) {
    EXPECT_EQ(buffers[i].data()[0], static_cast<std::byte>(i));
    EXPECT_EQ(buffers[i].data()[4999], static_cast<std::byte>(i));
  }
}

TEST(BufferTest, MovesItsLease) {
  BufferPool pool;
  Buffer a = pool.Allocate(64);
  std::byte* data = a.data();
  Buffer b = std::move(a);
  EXPECT_EQ(b.data(), data);
  Buffer c = pool.Allocate(64);
  std::byte* other = c.data();
  c = std::move(b);  // Returns c's first block.
  EXPECT_EQ(c.data(), data);
  EXPECT_EQ(pool.Allocate(64).data(), other);
  EXPECT_EQ(Buffer().size(), 0u);
}

TEST(BufferTest, ViewsFloats) {
  BufferPool pool;
  Buffer buffer = pool.Allocate(12);
  EXPECT_EQ(buffer.floats().size(), 3u);
  EXPECT_DEATH((void)pool.Allocate(13).floats(), "");  // The log may go elsewhere.
}

TEST(BufferPoolTest, ServesManyThreads) {
  BufferPool pool;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&pool, t]() {
      for (int i = 0; i < 200; ++i) {
        Buffer buffer = pool.Allocate(1000 + 4096 * (i % 7));
        std::memset(buffer.data(), t, buffer.size());
        for (std::byte byte : buffer.bytes()) ASSERT_EQ(byte, static_cast<std::byte>(t));
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace rally
