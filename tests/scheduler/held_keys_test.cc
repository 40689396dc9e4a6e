#include "scheduler/held_keys.h"

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include <gtest/gtest.h>

namespace rally {
namespace {

constexpr int32_t kDocuments = 2;
constexpr int32_t kRows = 200;

// As HeldKeys, row by row.
class Rows {
 public:
  explicit Rows(int32_t ranks) : held_(kDocuments * ranks, std::vector<bool>(kRows)) {}

  std::vector<bool>& of(int32_t document, int32_t rank) {
    return held_[rank * kDocuments + document];
  }
  int64_t Missing(int32_t document, int32_t rank, int64_t begin, int64_t end) {
    int64_t missing = 0;
    for (int64_t row = begin; row < end; ++row) missing += of(document, rank)[row] ? 0 : 1;
    return missing;
  }

 private:
  std::vector<std::vector<bool>> held_;
};

// Few holders are looked through one by one, many are looked up.
TEST(HeldKeys, KnowsWhoHoldsWhat) {
  std::mt19937 random(5);
  for (const int32_t ranks : {1, 3, 8, 9, 60}) {
    HeldKeys keys(kDocuments);
    Rows rows(ranks);
    std::vector<int32_t> order;  // Of document 0's holders.
    for (int i = 0; i < 600; ++i) {
      const auto document = static_cast<int32_t>(random() % kDocuments);
      const auto rank = static_cast<int32_t>(random() % ranks);
      int64_t begin = random() % kRows;
      int64_t end = std::min<int64_t>(kRows, begin + random() % 12);
      ASSERT_EQ(keys.Missing(document, rank, begin, end), rows.Missing(document, rank, begin, end))
          << ranks << " ranks, " << i;
      const bool first = keys.ranges(document, rank).empty() && begin < end;
      if (document == 0 && first) order.push_back(rank);
      keys.Hold(document, rank, begin, end);
      for (int64_t row = begin; row < end; ++row) rows.of(document, rank)[row] = true;
      ASSERT_EQ(keys.Missing(document, rank, begin, end), 0);
    }
    ASSERT_EQ(keys.holders(0).size(), order.size());
    for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(keys.holders(0)[i].rank, order[i]);
    for (int32_t rank = 0; rank < ranks; ++rank) {
      int64_t held = 0;
      for (const RowRange& range : keys.ranges(1, rank)) held += range.rows();
      EXPECT_EQ(held, kRows - rows.Missing(1, rank, 0, kRows));
    }
  }
}

}  // namespace
}  // namespace rally
