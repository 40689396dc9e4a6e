#include "workers/model/trainer.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/model/training_group.h"

namespace rally::testing {
namespace {

TEST(Trainer, OneWorkerLearns) {
  TrainingGroup group(TinyJob(), Corpus{{40, 1, 63, 24, 130, 17, 5}}, ReferenceServices());
  const auto losses = group.TrainUntil(40);
  ASSERT_TRUE(losses.ok()) << losses.status();
  // Untrained logits are close to uniform.
  EXPECT_NEAR(losses->front(), std::log(32.0), 0.1);
  EXPECT_LT(losses->back(), 1.5);
}

}  // namespace
}  // namespace rally::testing
