// Against counting every pair in a map, the obvious way.
#include "services/data/statistics.h"

#include <cmath>
#include <filesystem>
#include <limits>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/dataset_writer.h"
#include "tests/common/temp_directory.h"

namespace rally {
namespace {

using Documents = std::vector<std::vector<int32_t>>;

absl::StatusOr<DatasetStatistics> StatisticsOf(const Documents& documents,
                                               int64_t vocabulary = 257) {
  TempDirectory temp;
  const DatasetInfo info{.vocabulary = vocabulary, .tokenizer = "bytes", .end_of_document = 256};
  auto writer = DatasetWriter::Create(temp.path("set"), info);
  EXPECT_TRUE(writer.ok());
  for (const auto& document : documents) EXPECT_TRUE((*writer)->Add(document).ok());
  EXPECT_TRUE((*writer)->Finish().ok());
  auto dataset = Dataset::Open(temp.path("set"));
  EXPECT_TRUE(dataset.ok());
  return ComputeStatistics(**dataset, [] { return true; });
}

double BruteForceEntropy(const Documents& documents) {
  std::map<std::pair<int32_t, int32_t>, double> pairs;
  std::map<int32_t, double> previous;
  double total = 0;
  for (std::vector<int32_t> document : documents) {
    document.push_back(256);
    for (size_t i = 1; i < document.size(); ++i) {
      ++pairs[{document[i - 1], document[i]}];
      ++previous[document[i - 1]];
      ++total;
    }
  }
  double entropy = 0;
  for (const auto& [pair, count] : pairs) {
    entropy -= count / total * std::log(count / previous[pair.first]);
  }
  return entropy;
}

TEST(StatisticsTest, StopsWhenItIsTold) {
  TempDirectory temp;
  auto writer = DatasetWriter::Create(
      temp.path("set"), {.vocabulary = 257, .tokenizer = "bytes", .end_of_document = 256});
  ASSERT_TRUE(writer.ok()) << writer.status();
  for (int i = 0; i < 10; ++i) ASSERT_TRUE((*writer)->Add(std::vector<int32_t>(100, 65)).ok());
  ASSERT_TRUE((*writer)->Finish().ok());
  auto dataset = Dataset::Open(temp.path("set"));
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  int asked = 0;
  const auto stops_at = [&](int number) {
    asked = 0;
    return ComputeStatistics(**dataset, [&] { return ++asked < number; }).status();
  };
  EXPECT_TRUE(stops_at(1000).ok());
  const int all = asked;
  EXPECT_GT(all, 10) << "while it counts, too";
  for (const int number : {1, all / 2, all}) {
    EXPECT_TRUE(absl::IsCancelled(stops_at(number))) << number;
    EXPECT_EQ(asked, number);
  }
}

TEST(StatisticsTest, CountsAndQuantiles) {
  Documents documents;
  for (int length = 1; length <= 100; ++length) documents.emplace_back(length - 1, 65);
  auto statistics = StatisticsOf(documents);
  ASSERT_TRUE(statistics.ok()) << statistics.status();
  EXPECT_EQ(statistics->documents, 100);
  EXPECT_EQ(statistics->tokens, 5050);
  EXPECT_EQ(statistics->targets, 4950);
  std::map<double, int64_t> lengths;
  for (const auto& [quantile, tokens] : statistics->lengths) lengths[quantile] = tokens;
  EXPECT_EQ(lengths, (std::map<double, int64_t>{
                         {0, 1}, {0.1, 10}, {0.5, 50}, {0.9, 90}, {0.99, 99}, {1, 100}}));
}

TEST(StatisticsTest, KnownEntropies) {
  // a b a c: after "a" comes "b" or "c", evenly; after the others one thing: 2 of 4 pairs, ln 2.
  auto two_ways = StatisticsOf({{97, 98, 97, 99}});
  ASSERT_TRUE(two_ways.ok() && two_ways->bigram_entropy.has_value());
  EXPECT_DOUBLE_EQ(*two_ways->bigram_entropy, std::log(2.0) / 2);
  auto certain = StatisticsOf({{1, 2, 3}, {1, 2, 3}, {}});
  ASSERT_TRUE(certain.ok());
  EXPECT_EQ(certain->bigram_entropy, 0);
  auto no_pair = StatisticsOf({{}, {}});
  ASSERT_TRUE(no_pair.ok());
  EXPECT_EQ(no_pair->bigram_entropy, 0);
}

TEST(StatisticsTest, AgreesWithBruteForce) {
  std::mt19937 random(5);
  Documents documents(30);
  for (size_t d = 0; d < documents.size(); ++d) {
    // Some documents span several blocks of reading.
    documents[d].resize(d < 3 ? 65535 * (d + 1) - 1 + d : random() % 500);
    int32_t token = 0;
    for (int32_t& out : documents[d]) out = token = (token * 3 + random() % 5) % 256;
  }
  auto statistics = StatisticsOf(documents);
  ASSERT_TRUE(statistics.ok() && statistics->bigram_entropy.has_value());
  // Both sum some 66,000 positive terms in double; the sum of the terms is the entropy.
  const double expected = BruteForceEntropy(documents);
  const double tolerance = expected * 66000 * std::numeric_limits<double>::epsilon();
  EXPECT_NEAR(*statistics->bigram_entropy, expected, tolerance);
  EXPECT_GT(expected, 1);
}

TEST(StatisticsTest, NoBigramsForALargeVocabulary) {
  auto statistics = StatisticsOf({{1, 2}}, 4097);
  ASSERT_TRUE(statistics.ok());
  EXPECT_FALSE(statistics->bigram_entropy.has_value());
  EXPECT_EQ(statistics->targets, 2);
}

}  // namespace
}  // namespace rally
