#include "scheduler/document_deferral.h"

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <random>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "scheduler/planner.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

GlobalBatch BatchOf(const std::vector<int64_t>& lengths) {
  GlobalBatch batch;
  batch.groups.emplace_back();
  for (const int64_t tokens : lengths) batch.groups[0].push_back({0, 0, tokens, tokens});
  return batch;
}

std::vector<int64_t> LengthsOf(const std::vector<Document>& documents) {
  std::vector<int64_t> lengths;
  for (const Document& document : documents) lengths.push_back(document.tokens);
  return lengths;
}

TEST(DocumentDeferralTest, LetsLongDocumentsLeaveTogether) {
  // Three batches of 20 tokens, one document of 10 and more in each, two groups of workers.
  const std::vector<GlobalBatch> batches = {BatchOf({1, 10, 9}), BatchOf({11, 2, 7}),
                                            BatchOf({3, 12, 5})};
  const DeferredBatches deferred = DeferLongDocuments(batches, {{10}, 2});
  ASSERT_EQ(deferred.batches.size(), 3u);
  // The 10 waits, the 11 too, by when there is no room for both in the first batch.
  EXPECT_EQ(LengthsOf(deferred.batches[0].groups[0]), (std::vector<int64_t>{1, 9, 2, 7}));
  // Together they are more than a batch, so one of them goes, then what fits behind it; the 12 sees
  // that its queue has given already.
  EXPECT_EQ(LengthsOf(deferred.batches[1].groups[0]), (std::vector<int64_t>{10, 3, 5}));
  EXPECT_EQ(LengthsOf(deferred.batches[2].groups[0]), (std::vector<int64_t>{11}));
  EXPECT_EQ(LengthsOf(deferred.left), (std::vector<int64_t>{12}));
}

TEST(DocumentDeferralTest, KeepsAQueueForEveryLength) {
  const std::vector<GlobalBatch> batches = {BatchOf({10, 20, 20, 50}), BatchOf({10, 30, 60})};
  const DeferredBatches deferred = DeferLongDocuments(batches, {{10, 20}, 2});
  EXPECT_EQ(LengthsOf(deferred.batches[0].groups[0]), (std::vector<int64_t>{20, 20, 10, 10}));
  EXPECT_EQ(LengthsOf(deferred.batches[1].groups[0]), (std::vector<int64_t>{50, 30}));
  EXPECT_EQ(LengthsOf(deferred.left), (std::vector<int64_t>{60}));
}

std::vector<GlobalBatch> Sampled(const BatchShape& shape, int batches, uint64_t seed) {
  std::mt19937_64 random(seed);
  const std::vector<int64_t> lengths = test::HeavyTailedLengths(5000, 600, 1 << 20, &random);
  std::vector<int64_t> sources(lengths.size());
  for (size_t i = 0; i < sources.size(); ++i) sources[i] = static_cast<int64_t>(i);
  BatchSampler sampler(lengths, sources, shape, seed, true);
  std::vector<GlobalBatch> sampled = {*sampler.Sample({})};
  while (static_cast<int>(sampled.size()) < batches) {
    sampled.push_back(*sampler.Sample(sampled.back().next_position));
  }
  return sampled;
}

std::vector<Document> AllOf(const std::vector<GlobalBatch>& batches) {
  std::vector<Document> all;
  for (const GlobalBatch& batch : batches) {
    for (const auto& group : batch.groups) all.insert(all.end(), group.begin(), group.end());
  }
  return all;
}

void Sort(std::vector<Document>* documents) {
  std::sort(documents->begin(), documents->end(), [](const Document& a, const Document& b) {
    return std::tie(a.source, a.source_begin) < std::tie(b.source, b.source_begin);
  });
}

TEST(DocumentDeferralTest, LosesNothingAndKeepsShortDocumentsInOrder) {
  const BatchShape shape{16384, 16, 16384};
  const std::vector<GlobalBatch> batches = Sampled(shape, 20, 3);
  const DeferralOptions options{{4096, 12000}, 16};
  const DeferredBatches deferred = DeferLongDocuments(batches, options);
  const auto is_short = [](const Document& d) { return d.tokens < 4096; };
  std::vector<Document> before = AllOf(batches);
  std::vector<Document> after = AllOf(deferred.batches);
  after.insert(after.end(), deferred.left.begin(), deferred.left.end());
  const auto shorts = [is_short](const std::vector<Document>& all) {
    std::vector<Document> found;
    std::copy_if(all.begin(), all.end(), std::back_inserter(found), is_short);
    return found;
  };
  EXPECT_EQ(shorts(after), shorts(before));
  Sort(&before);
  Sort(&after);
  EXPECT_EQ(after, before);
  for (size_t i = 0; i < batches.size(); ++i) {
    int64_t tokens = 0;
    int64_t medium = 0;
    int64_t large = 0;
    for (const Document& d : deferred.batches[i].groups[0]) {
      tokens += d.tokens;
      medium += d.tokens >= 4096 && d.tokens < 12000 ? 1 : 0;
      large += d.tokens >= 12000 ? 1 : 0;
    }
    EXPECT_LE(tokens, 16 * 16384);
    EXPECT_EQ(deferred.batches[i].next_position, batches[i].next_position);
    if (i >= 15) continue;  // Towards the end what waits is not made up for.
    EXPECT_GT(tokens, 16 * 16384 - 4096);
    EXPECT_TRUE(medium == 0 || medium == 16) << medium;
    EXPECT_TRUE(large == 0 || large == 16) << large;
  }
}

// Mean over batches of the largest chunk's work over the mean chunk's, in pairs alone.
double MeanLargest(const std::vector<GlobalBatch>& batches, const BatchShape& shape) {
  double sum = 0.0;
  for (const GlobalBatch& batch : batches) {
    PlanInput input;
    input.batch = &batch;
    input.shape = shape;
    input.topology = {static_cast<int32_t>(shape.chunks), 0, false};
    const auto planned = MakePlanner(PlannerKind::kVariableLength, {})->MakePlan(input);
    EXPECT_TRUE(planned.ok()) << planned.status();
    sum += planned->report.largest_over_share;
  }
  return sum / static_cast<double>(batches.size());
}

TEST(DocumentDeferralTest, EvensOutVariableLengthPacking) {
  const BatchShape shape{16384, 8, 16384};
  const std::vector<GlobalBatch> batches = Sampled(shape, 40, 5);
  const DeferredBatches deferred = DeferLongDocuments(batches, {{8192, 12288}, 8});
  const std::vector<GlobalBatch> first(deferred.batches.begin(), deferred.batches.begin() + 30);
  const double without = MeanLargest({batches.begin(), batches.begin() + 30}, shape);
  const double with = MeanLargest(first, shape);
  RecordProperty("without_deferral", std::to_string(without));
  RecordProperty("with_deferral", std::to_string(with));
  EXPECT_LT(with, 0.85 * without) << without;
}

}  // namespace
}  // namespace rally
