#include "scheduler/task_traffic.h"

#include <gtest/gtest.h>

namespace rally {
namespace {

constexpr double kQueryRow = 2 * 4 * 4 * 64;     // Out and back, float32, N = 4, H = 64.
constexpr double kKeyValueRow = 2 * 4 * 2 * 64;  // A key and a value, M = 2.

class TaskTrafficTest : public testing::Test {
 protected:
  // A document of 30 tokens, ten on each of three workers.
  static MicroBatch ThreeHomes() {
    MicroBatch micro_batch;
    micro_batch.chunks.resize(3);
    for (int32_t home = 0; home < 3; ++home) {
      micro_batch.chunks[home].nano_batches[0] = {{0, 10 * home, 10 * home + 10}};
    }
    return micro_batch;
  }

  const ShardIndex index_{ThreeHomes()};
  TaskTraffic traffic_{&index_, ModelShape{.heads = 4, .kv_heads = 2, .head_dim = 64}};
};

TEST_F(TaskTrafficTest, CountsRowsThatAreNotAtHome) {
  // At home only other homes' keys travel; elsewhere the queries too.
  EXPECT_DOUBLE_EQ(traffic_.Bytes({0, 20, 30, 0, 30, 2}, 2), 20 * kKeyValueRow);
  EXPECT_DOUBLE_EQ(traffic_.Bytes({0, 20, 30, 0, 30, 0}, 2), 10 * kQueryRow + 20 * kKeyValueRow);
  EXPECT_DOUBLE_EQ(traffic_.Bytes({0, 20, 26, 5, 8, 7}, 2), 6 * kQueryRow + 3 * kKeyValueRow);
  EXPECT_DOUBLE_EQ(traffic_.Bytes({0, 0, 10, 0, 10, 0}, 0), 0.0);
}

TEST_F(TaskTrafficTest, CountsKeysOncePerServer) {
  traffic_.Hold({0, 8, 10, 2, 6, 7});
  traffic_.Hold({0, 8, 10, 9, 12, 7});
  const CaTask task{0, 20, 22, 0, 20, 7};
  EXPECT_DOUBLE_EQ(traffic_.Bytes(task, 2), 2 * kQueryRow + 13 * kKeyValueRow);
  traffic_.Hold({0, 8, 10, 4, 11, 7});  // Joins the two.
  EXPECT_DOUBLE_EQ(traffic_.Bytes(task, 2), 2 * kQueryRow + 10 * kKeyValueRow);
  traffic_.Hold({0, 8, 10, 14, 16, 7});
  EXPECT_DOUBLE_EQ(traffic_.Bytes(task, 2), 2 * kQueryRow + 8 * kKeyValueRow);
  CaTask elsewhere = task;
  elsewhere.server = 8;
  EXPECT_DOUBLE_EQ(traffic_.Bytes(elsewhere, 2), 2 * kQueryRow + 20 * kKeyValueRow);
}

}  // namespace
}  // namespace rally
