#include "scheduler/ca_task.h"

#include <cstdint>

#include <gtest/gtest.h>

namespace rally {
namespace {

bool Allowed(int64_t query, int64_t key, AttentionMask mask) {
  return key <= query && (mask.window == 0 || key > query - mask.window);
}

int64_t CountPairs(const CaTask& task, AttentionMask mask) {
  int64_t pairs = 0;
  for (int64_t q = task.q_begin; q < task.q_end; ++q) {
    for (int64_t k = task.kv_begin; k < task.kv_end; ++k) pairs += Allowed(q, k, mask);
  }
  return pairs;
}

template <typename Check>
void ForEachSmallTask(const Check& check) {
  constexpr int64_t kTokens = 9;
  for (int64_t window = 0; window <= kTokens + 1; ++window) {
    for (int64_t q_begin = 0; q_begin <= kTokens; ++q_begin) {
      for (int64_t q_end = q_begin; q_end <= kTokens; ++q_end) {
        for (int64_t kv_begin = 0; kv_begin <= kTokens; ++kv_begin) {
          for (int64_t kv_end = kv_begin; kv_end <= kTokens; ++kv_end) {
            check(CaTask{0, q_begin, q_end, kv_begin, kv_end, 0}, AttentionMask{window});
          }
        }
      }
    }
  }
}

TEST(AllowedPairsTest, EqualsCountingEveryPair) {
  ForEachSmallTask([](const CaTask& task, AttentionMask mask) {
    ASSERT_EQ(AllowedPairs(task, mask), CountPairs(task, mask))
        << "window " << mask.window << " q " << task.q_begin << ".." << task.q_end << " kv "
        << task.kv_begin << ".." << task.kv_end;
  });
}

TEST(AllowedPairsTest, CountsTheLongestDocuments) {
  constexpr int64_t kTokens = int64_t{1} << 31;
  constexpr int64_t kTriangle = kTokens / 2 * (kTokens + 1);
  EXPECT_EQ(AllowedPairs(0, kTokens, 0, kTokens, {}), kTriangle);
  EXPECT_EQ(AllowedPairs(0, kTokens, 0, kTokens, {kTokens}), kTriangle);
  EXPECT_EQ(AllowedPairs(0, kTokens, 0, kTokens, {int64_t{1} << 40}), kTriangle);
  EXPECT_EQ(AllowedPairs(0, kTokens, 0, kTokens, {1}), kTokens);
  EXPECT_EQ(AllowedPairs(kTokens - 1, kTokens, 0, kTokens, {}), kTokens);
  EXPECT_EQ(AllowedPairs(kTokens / 2, kTokens, 0, kTokens / 2, {}), kTokens / 2 * (kTokens / 2));
  EXPECT_EQ(AllowedPairs(0, kTokens, 0, kTokens, {3}), 3 * kTokens - 3);
}

TEST(TrimToMaskTest, KeepsEveryPairInTheSmallestRectangle) {
  ForEachSmallTask([](const CaTask& task, AttentionMask mask) {
    const CaTask trimmed = TrimToMask(task, mask);
    ASSERT_EQ(AllowedPairs(trimmed, mask), AllowedPairs(task, mask));
    if (trimmed.q_rows() == 0) return;
    ASSERT_TRUE(trimmed.q_begin >= task.q_begin && trimmed.q_end <= task.q_end);
    ASSERT_TRUE(trimmed.kv_begin >= task.kv_begin && trimmed.kv_end <= task.kv_end);
    // No side can be moved inwards without losing a pair.
    for (int64_t CaTask::*side :
         {&CaTask::q_begin, &CaTask::q_end, &CaTask::kv_begin, &CaTask::kv_end}) {
      CaTask smaller = trimmed;
      smaller.*side += side == &CaTask::q_begin || side == &CaTask::kv_begin ? 1 : -1;
      ASSERT_LT(AllowedPairs(smaller, mask), AllowedPairs(trimmed, mask));
    }
  });
}

TEST(FirstAllowedKeyTest, IsTheFirstThatTheMaskAllows) {
  for (int64_t window = 0; window <= 5; ++window) {
    for (int64_t query = 0; query < 8; ++query) {
      const int64_t first = FirstAllowedKey(query, {window});
      EXPECT_TRUE(Allowed(query, first, {window}));
      EXPECT_TRUE(first == 0 || !Allowed(query, first - 1, {window}));
    }
  }
}

}  // namespace
}  // namespace rally
