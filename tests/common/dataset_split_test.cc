#include "common/dataset_split.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

std::vector<int64_t> Union(const DatasetSplit& split) {
  std::vector<int64_t> all;
  std::merge(split.training.begin(), split.training.end(), split.validation.begin(),
             split.validation.end(), std::back_inserter(all));
  return all;
}

TEST(DatasetSplitTest, EveryDocumentIsInExactlyOneSplit) {
  for (int64_t documents : {0, 1, 2, 3, 10, 1000}) {
    for (double fraction : {0.0, 1e-9, 0.1, 0.5, 0.999999}) {
      std::vector<int64_t> expected(documents);
      for (int64_t d = 0; d < documents; ++d) expected[d] = d;
      const DatasetSplit split = SplitDataset(documents, fraction, 7);
      EXPECT_EQ(Union(split), expected) << documents << " " << fraction;
      EXPECT_EQ(split.training.empty(), documents == 0);
      EXPECT_EQ(split.validation.empty(), documents < 2 || fraction == 0);
    }
  }
}

TEST(DatasetSplitTest, HoldsOutTheAskedShare) {
  constexpr int64_t kDocuments = 100000;
  constexpr double kFraction = 0.1;
  // Six standard deviations of a binomial distribution.
  const double tolerance = 6 * std::sqrt(kDocuments * kFraction * (1 - kFraction));
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const DatasetSplit split = SplitDataset(kDocuments, kFraction, seed);
    EXPECT_NEAR(static_cast<double>(split.validation.size()), kDocuments * kFraction, tolerance);
  }
}

TEST(DatasetSplitTest, DependsOnTheSeedAlone) {
  EXPECT_EQ(SplitDataset(1000, 0.2, 1).validation, SplitDataset(1000, 0.2, 1).validation);
  EXPECT_NE(SplitDataset(1000, 0.2, 1).validation, SplitDataset(1000, 0.2, 2).validation);
}

TEST(DatasetSplitTest, IsTheSameOnEveryMachine) {
  // Written down once; a change would move held-out documents into the training of old datasets.
  EXPECT_THAT(SplitDataset(40, 0.1, 17).validation, ::testing::ElementsAre(3, 5, 16, 29, 31));
}

TEST(DatasetSplitTest, AGrowingDatasetKeepsItsHeldOutDocuments) {
  const DatasetSplit before = SplitDataset(1000, 0.1, 3);
  const DatasetSplit after = SplitDataset(2000, 0.1, 3);
  EXPECT_TRUE(std::includes(after.validation.begin(), after.validation.end(),
                            before.validation.begin(), before.validation.end()));
}

}  // namespace
}  // namespace rally
