#include "scheduler/batch_sampler.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

std::vector<int64_t> Iota(size_t count, int64_t first = 0) {
  std::vector<int64_t> values(count);
  std::iota(values.begin(), values.end(), first);
  return values;
}

int64_t Tokens(const std::vector<Document>& group) {
  int64_t tokens = 0;
  for (const Document& document : group) tokens += document.tokens;
  return tokens;
}

TEST(BatchSamplerTest, FillsGroupsToTheLastTokenAndCutsWhatIsLeft) {
  const std::vector<int64_t> lengths = {5, 25, 7};
  const std::vector<int64_t> sources = {100, 200, 300};
  BatchSampler sampler(lengths, sources, {10, 4, 20}, 1, /*shuffle=*/false);
  const GlobalBatch batch = *sampler.Sample({});
  ASSERT_EQ(batch.groups.size(), 2u);
  // The piece of 200 is cut at the group's end; what ends where its document ends loses a target.
  EXPECT_EQ(batch.groups[0], (std::vector<Document>{{100, 0, 5, 4}, {200, 0, 15, 15}}));
  EXPECT_EQ(batch.groups[1],
            (std::vector<Document>{{200, 15, 10, 9}, {300, 0, 7, 6}, {100, 0, 3, 3}}));
  EXPECT_EQ(batch.next_position, (DataPosition{1, 0, 3}));
}

TEST(BatchSamplerTest, KeepsPiecesToTheLongestAllowed) {
  const std::vector<int64_t> lengths = {25};
  const std::vector<int64_t> sources = {0};
  BatchSampler sampler(lengths, sources, {20, 1, 10}, 1, false);
  EXPECT_EQ(sampler.Sample({})->groups[0],
            (std::vector<Document>{{0, 0, 10, 10}, {0, 10, 10, 10}}));
}

TEST(BatchSamplerTest, RefusesMoreDocumentsThanABatchHolds) {
  const std::vector<int64_t> lengths = {1};
  const std::vector<int64_t> sources = {0};
  const auto sample = [&](int64_t chunks) {
    return BatchSampler(lengths, sources, {1024, chunks, 1024}, 1, false).Sample({});
  };
  ASSERT_TRUE(sample(kMostBatchDocuments / 1024).ok());
  const absl::Status status = sample(kMostBatchDocuments / 1024 + 1).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), testing::HasSubstr("lower batch.chunks"));
}

TEST(BatchSamplerTest, LosesNoTokenAndNoTargetOverAPass) {
  std::vector<int64_t> lengths(50);
  for (size_t i = 0; i < lengths.size(); ++i) lengths[i] = 1 + static_cast<int64_t>(i * 7 % 41);
  const std::vector<int64_t> sources = Iota(50);
  BatchSampler sampler(lengths, sources, {16, 2, 16}, 9, true);
  std::map<int64_t, int64_t> next_token;  // By source, over the first pass.
  std::map<int64_t, int64_t> targets;
  DataPosition position;
  while (position.pass == 0) {
    const GlobalBatch batch = *sampler.Sample(position);
    for (const auto& group : batch.groups) {
      EXPECT_EQ(Tokens(group), 16);
      for (const Document& document : group) {
        if (next_token[document.source] == lengths[document.source]) continue;  // Second pass.
        EXPECT_EQ(document.source_begin, next_token[document.source]);
        next_token[document.source] += document.tokens;
        targets[document.source] += document.targets;
      }
    }
    position = batch.next_position;
  }
  for (size_t i = 0; i < lengths.size(); ++i) {
    EXPECT_EQ(next_token[i], lengths[i]);
    EXPECT_EQ(targets[i], lengths[i] - 1);
  }
}

TEST(BatchSamplerTest, DependsOnThePositionOnly) {
  const std::vector<int64_t> lengths = {9, 30, 4, 17, 1, 8};
  const std::vector<int64_t> sources = Iota(6);
  BatchSampler one(lengths, sources, {8, 4, 16}, 5, true);
  DataPosition position;
  std::vector<DataPosition> positions;
  std::vector<GlobalBatch> batches;
  for (int i = 0; i < 8; ++i) {
    positions.push_back(position);
    batches.push_back(*one.Sample(position));
    position = batches.back().next_position;
  }
  for (int i = 7; i >= 0; --i) {
    BatchSampler fresh(lengths, sources, {8, 4, 16}, 5, true);
    const GlobalBatch batch = *fresh.Sample(positions[i]);
    EXPECT_EQ(batch.groups, batches[i].groups);
    EXPECT_EQ(one.Sample(positions[i])->groups, batches[i].groups);
  }
}

TEST(BatchSamplerTest, ShufflesEachPassAnew) {
  const std::vector<int64_t> lengths(64, 1);
  const std::vector<int64_t> sources = Iota(64);
  const auto order = [&](uint64_t seed, int64_t pass) {
    BatchSampler sampler(lengths, sources, {64, 1, 64}, seed, true);
    std::vector<int64_t> visited;
    const GlobalBatch batch = *sampler.Sample({pass, 0, 0});
    for (const Document& document : batch.groups[0]) visited.push_back(document.source);
    return visited;
  };
  EXPECT_TRUE(std::is_permutation(sources.begin(), sources.end(), order(1, 0).begin()));
  EXPECT_NE(order(1, 0), sources);
  EXPECT_NE(order(1, 0), order(1, 1));
  EXPECT_NE(order(1, 0), order(2, 0));
  EXPECT_EQ(order(1, 1), order(1, 1));
}

}  // namespace
}  // namespace rally
