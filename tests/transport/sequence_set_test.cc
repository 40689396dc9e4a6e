#include "workers/transport/sequence_set.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <set>
#include <vector>

#include <gtest/gtest.h>

namespace rally {
namespace {

TEST(SequenceSet, TakesEachOnce) {
  SequenceSet set;
  for (uint64_t sequence : {5, 7, 6, 1, 2, 4, 3, 9}) EXPECT_TRUE(set.Insert(sequence)) << sequence;
  EXPECT_EQ(set.runs(), 2u);
  for (uint64_t sequence : {1, 2, 3, 4, 5, 6, 7, 9}) EXPECT_FALSE(set.Insert(sequence)) << sequence;
  EXPECT_TRUE(set.Insert(8));
  EXPECT_EQ(set.runs(), 1u);
  constexpr uint64_t kLast = std::numeric_limits<uint64_t>::max();
  EXPECT_TRUE(set.Insert(kLast));
  EXPECT_FALSE(set.Insert(kLast));
  EXPECT_TRUE(set.Insert(kLast - 1));
  EXPECT_TRUE(set.Insert(0));
}

TEST(SequenceSet, DoesAsASetDoesInAnyOrder) {
  std::mt19937_64 random(1);
  SequenceSet set;
  std::set<uint64_t> reference;
  for (int i = 0; i < 20000; ++i) {
    const uint64_t sequence = random() % 5000;
    ASSERT_EQ(set.Insert(sequence), reference.insert(sequence).second) << sequence;
  }
}

TEST(SequenceSet, StaysSmallWhereOrderIsAlmostKept) {
  std::vector<uint64_t> sequences(100000);
  for (size_t i = 0; i < sequences.size(); ++i) sequences[i] = i + 1;
  for (size_t i = 0; i + 16 <= sequences.size(); i += 16) {
    std::reverse(sequences.begin() + i, sequences.begin() + i + 16);
  }
  SequenceSet set;
  for (uint64_t sequence : sequences) {
    ASSERT_TRUE(set.Insert(sequence));
    ASSERT_LE(set.runs(), 2u);
  }
}

}  // namespace
}  // namespace rally
