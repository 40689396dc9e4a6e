#include "workers/model/token_rows.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using ::testing::HasSubstr;

// Document s of the dataset holds tokens 100 s, 100 s + 1, ...; the first one's last token is 9.
absl::Status ReadCounting(int64_t source, int64_t begin, absl::Span<int32_t> out) {
  for (size_t i = 0; i < out.size(); ++i) {
    const int64_t index = begin + static_cast<int64_t>(i);
    if (index >= 10) return absl::OutOfRangeError("past the end");
    out[i] = static_cast<int32_t>(100 * source + index);
  }
  return absl::OkStatus();
}

Plan PlanOf(std::vector<Document> documents) {
  Plan plan;
  plan.documents = std::move(documents);
  return plan;
}

TEST(TokenRows, AShardPredictsTheNextShardsFirstToken) {
  const Plan plan = PlanOf({{1, 0, 10, 9}});
  const auto first = ReadTokenRows(plan, {{0, 0, 4}}, 1000, ReadCounting);
  ASSERT_TRUE(first.ok()) << first.status();
  EXPECT_EQ(first->token, (std::vector<int64_t>{100, 101, 102, 103}));
  EXPECT_EQ(first->target, (std::vector<int64_t>{101, 102, 103, 104}));
  const auto last = ReadTokenRows(plan, {{0, 8, 10}}, 1000, ReadCounting);
  ASSERT_TRUE(last.ok()) << last.status();
  EXPECT_EQ(last->position, (std::vector<int64_t>{8, 9}));
  EXPECT_EQ(last->target, (std::vector<int64_t>{109, -1}));
}

TEST(TokenRows, APieceCutFromALongDocumentHasATargetForEveryToken) {
  const Plan plan = PlanOf({{2, 3, 4, 4}});
  const auto rows = ReadTokenRows(plan, {{0, 2, 4}}, 1000, ReadCounting);
  ASSERT_TRUE(rows.ok()) << rows.status();
  EXPECT_EQ(rows->token, (std::vector<int64_t>{205, 206}));
  EXPECT_EQ(rows->position, (std::vector<int64_t>{2, 3}));  // In the piece, not in the source.
  EXPECT_EQ(rows->target, (std::vector<int64_t>{206, 207}));
}

TEST(TokenRows, EveryTargetIsCountedOnce) {
  const Plan plan = PlanOf({{0, 0, 1, 0}, {1, 0, 10, 9}, {2, 0, 5, 5}});
  int64_t targets = 0;
  for (const NanoBatch& nano : {NanoBatch{{0, 0, 1}, {1, 0, 6}}, NanoBatch{{1, 6, 10}},
                                NanoBatch{{2, 0, 3}, {2, 3, 5}}, NanoBatch{}}) {
    const auto rows = ReadTokenRows(plan, nano, 1000, ReadCounting);
    ASSERT_TRUE(rows.ok()) << rows.status();
    for (const int64_t target : rows->target) targets += target >= 0 ? 1 : 0;
  }
  EXPECT_EQ(targets, TargetCount(plan));
}

TEST(TokenRows, ErrorsArePassedOn) {
  const auto outside = ReadTokenRows(PlanOf({{1, 0, 10, 9}}), {{0, 0, 4}}, 102, ReadCounting);
  EXPECT_EQ(outside.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(outside.status().message()),
              HasSubstr("dataset document 1 holds token 102"));
  const auto past = ReadTokenRows(PlanOf({{1, 0, 10, 10}}), {{0, 0, 10}}, 1000, ReadCounting);
  EXPECT_EQ(past.status().code(), absl::StatusCode::kOutOfRange);
}

}  // namespace
}  // namespace rally
