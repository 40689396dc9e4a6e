#include "scheduler/speed_correction.h"

#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::IsEmpty;

// Whole weight to the newest round.
constexpr SpeedCorrectionOptions kAtOnce{.smoothing = 1.0, .bound = 4.0, .noise = 0.1};

TEST(SpeedCorrectionTest, ASlowRankWeighsLess) {
  SpeedCorrection correction(3, kAtOnce);
  // Equal work; the last takes three times as long: speeds 1, 1, 1/3, 7/9 in the mean.
  correction.Observe({{1.0, 7.0}, {1.0, 7.0}, {3.0, 7.0}});
  EXPECT_THAT(correction.Weights(),
              ElementsAre(DoubleNear(9.0 / 7, 1e-12), DoubleNear(9.0 / 7, 1e-12),
                          DoubleNear(3.0 / 7, 1e-12)));
}

TEST(SpeedCorrectionTest, SharesOfTheWorkDoNotMatterAndUnitsNeither) {
  SpeedCorrection correction(2, kAtOnce);
  // The slow one has the small share already.
  correction.Observe({{3.0, 3e9}, {3.0, 1e9}});
  EXPECT_THAT(correction.Weights(), ElementsAre(DoubleNear(1.5, 1e-12), DoubleNear(0.5, 1e-12)));
  SpeedCorrection other(2, kAtOnce);
  other.Observe({{30.0, 3.0}, {30.0, 1.0}});
  EXPECT_THAT(other.Weights(), ElementsAre(DoubleNear(1.5, 1e-12), DoubleNear(0.5, 1e-12)));
}

TEST(SpeedCorrectionTest, NoiseAndWrongPredictionsChangeNothing) {
  SpeedCorrection correction(3, kAtOnce);
  EXPECT_THAT(correction.Weights(), IsEmpty());
  correction.Observe({{1.0, 100.0}, {1.05, 100.0}, {0.97, 100.0}});
  EXPECT_THAT(correction.Weights(), IsEmpty());
}

TEST(SpeedCorrectionTest, SmoothsTowardsWhatLasts) {
  SpeedCorrection correction(2, {.smoothing = 0.3, .bound = 4.0, .noise = 0.0});
  const std::vector<AttentionTime> slow = {{1.0, 1.0}, {2.0, 1.0}};
  correction.Observe(slow);
  const double first = correction.Weights()[1];
  EXPECT_GT(first, 0.8);  // One round is not believed whole.
  EXPECT_LT(first, 0.95);
  double before = first;
  for (int round = 0; round < 20; ++round) {
    correction.Observe(slow);
    EXPECT_LT(correction.Weights()[1], before);
    before = correction.Weights()[1];
  }
  // Speed 1/2 over a mean of 3/4. Distance left: 0.7^21.
  EXPECT_NEAR(before, 2.0 / 3, 1e-3);
  for (int round = 0; round < 30; ++round) correction.Observe({{1.0, 1.0}, {1.0, 1.0}});
  EXPECT_NEAR(correction.Weights()[1], 1.0, 1e-4);  // It has recovered.
}

TEST(SpeedCorrectionTest, IsBounded) {
  SpeedCorrection correction(3, kAtOnce);
  correction.Observe({{1.0, 1.0}, {1.0, 1.0}, {1e6, 1.0}});
  EXPECT_THAT(correction.Weights(),
              ElementsAre(DoubleNear(1.5, 1e-5), DoubleNear(1.5, 1e-5), DoubleNear(0.25, 1e-12)));
  SpeedCorrection many(10, kAtOnce);
  std::vector<AttentionTime> one_fast(10, {1.0, 1.0});
  one_fast[0].predicted = 1e6;
  many.Observe(one_fast);
  EXPECT_NEAR(many.Weights()[0], 4.0, 1e-12);
  EXPECT_NEAR(many.Weights()[9], 0.25, 1e-12);
}

TEST(SpeedCorrectionTest, RanksWithoutWorkKeepTheirSpeed) {
  SpeedCorrection correction(3, kAtOnce);
  correction.Observe({{0.0, 0.0}, {1.0, 1.0}, {3.0, 1.0}});
  const std::vector<double> weights = correction.Weights();
  EXPECT_THAT(weights, ElementsAre(1.0, DoubleNear(1.5, 1e-12), DoubleNear(0.5, 1e-12)));
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  correction.Observe({{0.0, 5.0}, {kNone, 1.0}, {1.0, 0.0}});
  EXPECT_EQ(correction.Weights(), weights);
  correction.Observe({{1e-5, 1.0}, {5e-5, 1.0}, {1e-5, 1.0}});  // Too short to tell.
  EXPECT_EQ(correction.Weights(), weights);
}

}  // namespace
}  // namespace rally
