#include "common/median.h"

#include <gtest/gtest.h>

namespace rally {
namespace {

TEST(MedianTest, IsTheMiddleValueOrTheMeanOfTwo) {
  EXPECT_EQ(Median({}), 0.0);
  EXPECT_EQ(Median({7.0}), 7.0);
  EXPECT_EQ(Median({1, 100, 2}), 2.0);
  EXPECT_EQ(Median({8, 1, 7, 2, 6, 3, 5, 4}), 4.5);
}

}  // namespace
}  // namespace rally
