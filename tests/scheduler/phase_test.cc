#include "scheduler/phase.h"

#include <vector>

#include <gtest/gtest.h>

#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

constexpr Direction kForward = Direction::kForward;
constexpr Direction kBackward = Direction::kBackward;

TEST(PhaseOrderTest, RunsBackwardAsTheMirrorOfForward) {
  const Plan plan = test::PackLengths({4, 4}, {8, 2, 8}, 1);
  const std::vector<Phase> expected = {
      {0, 0, 0, kForward},  {0, 0, 1, kForward},  {0, 1, 0, kForward},  {0, 1, 1, kForward},
      {0, 1, 1, kBackward}, {0, 1, 0, kBackward}, {0, 0, 1, kBackward}, {0, 0, 0, kBackward},
      {1, 0, 0, kForward},  {1, 0, 1, kForward},  {1, 1, 0, kForward},  {1, 1, 1, kForward},
      {1, 1, 1, kBackward}, {1, 1, 0, kBackward}, {1, 0, 1, kBackward}, {1, 0, 0, kBackward}};
  EXPECT_EQ(PhaseOrder(plan, 2), expected);
}

TEST(PhaseOrderTest, LeavesOutWhatNobodyUses) {
  Plan plan = test::PackLengths({8}, {8, 1, 8}, 1, /*ping_pong=*/false);
  plan.kind = PlanKind::kValidate;
  EXPECT_EQ(PhaseOrder(plan, 2), (std::vector<Phase>{{0, 0, 0, kForward}, {0, 1, 0, kForward}}));
}

}  // namespace
}  // namespace rally
