#include "scheduler/length_distribution.h"

#include <algorithm>
#include <numeric>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using testing::HasSubstr;

TEST(ParseQuantilesTest, ReadsPointsAndSkipsTheRest) {
  const auto quantiles = ParseQuantiles("# source\nquantile,tokens\n0.0,1\n0.5,10\n\n1.0,100\n");
  ASSERT_TRUE(quantiles.ok()) << quantiles.status();
  EXPECT_EQ(*quantiles, (std::vector<std::pair<double, double>>{{0, 1}, {0.5, 10}, {1, 100}}));
}

TEST(ParseQuantilesTest, NamesTheLineThatIsWrong) {
  for (const char* text :
       {"quantile,tokens\n0.5,ten\n", "quantile,tokens\n1.5,10\n", "0.5,10\n0.5,11\n",
        "0.1,10\n0.5,9\n", "0.1,10\n0.2\n", "0.1,9\n0.2,0\n"}) {
    const absl::Status status = ParseQuantiles(text).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr("line ")) << text;
  }
  EXPECT_FALSE(ParseQuantiles("quantile,tokens\n").ok());
}

LengthDistribution Straight() {
  LengthDistribution distribution;
  distribution.quantiles = {{0.0, 1.0}, {1.0, 1000.0}};
  return distribution;
}

double ShareFrom(const std::vector<int64_t>& lengths, int64_t least) {
  const auto count = std::count_if(lengths.begin(), lengths.end(),
                                   [least](int64_t length) { return length >= least; });
  return static_cast<double>(count) / static_cast<double>(lengths.size());
}

TEST(SampleLengthsTest, FollowsTheQuantiles) {
  const std::vector<int64_t> lengths = SampleLengths(Straight(), 2000, 10'000'000, 1);
  EXPECT_GE(std::accumulate(lengths.begin(), lengths.end(), int64_t{0}), 10'000'000);
  // About 20,000 draws: a share of a half has a standard deviation of 0.0035.
  EXPECT_NEAR(ShareFrom(lengths, 500), 0.5, 0.02);
  EXPECT_NEAR(ShareFrom(lengths, 900), 0.1, 0.02);
  EXPECT_EQ(lengths, SampleLengths(Straight(), 2000, 10'000'000, 1));
  EXPECT_NE(lengths, SampleLengths(Straight(), 2000, 10'000'000, 2));
}

TEST(SampleLengthsTest, CutsAtTheContextAndStretchesToIt) {
  LengthDistribution distribution = Straight();
  std::vector<int64_t> lengths = SampleLengths(distribution, 300, 1'000'000, 1);
  EXPECT_EQ(*std::max_element(lengths.begin(), lengths.end()), 300);
  EXPECT_NEAR(ShareFrom(lengths, 300), 0.7, 0.02);
  distribution.stretch_from = 1000;
  lengths = SampleLengths(distribution, 300, 1'000'000, 1);
  EXPECT_NEAR(ShareFrom(lengths, 150), 0.5, 0.02);
}

TEST(SampleLengthsTest, WeighsLongDocuments) {
  LengthDistribution distribution = Straight();
  distribution.long_tokens = 501;  // Half of them, three times as often: three quarters.
  distribution.long_weight = 3.0;
  distribution.whole_context = 0.5;
  const std::vector<int64_t> lengths = SampleLengths(distribution, 2000, 10'000'000, 1);
  EXPECT_NEAR(ShareFrom(lengths, 501), 0.75, 0.02);
  EXPECT_NEAR(ShareFrom(lengths, 2000), 0.375, 0.02);
}

TEST(SampleLengthsTest, RepeatsGivenLengths) {
  LengthDistribution distribution;
  distribution.lengths = {5, 50};
  EXPECT_EQ(SampleLengths(distribution, 20, 60, 1), (std::vector<int64_t>{5, 20, 5, 20, 5, 20}));
}

}  // namespace
}  // namespace rally
