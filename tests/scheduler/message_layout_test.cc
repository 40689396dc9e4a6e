#include "scheduler/message_layout.h"

#include <gtest/gtest.h>

#include "scheduler/planner.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

// N = 6, M = 2, H = 32.
ModelShape Shape() {
  ModelShape shape;
  shape.heads = 6;
  shape.kv_heads = 2;
  shape.head_dim = 32;
  return shape;
}

// A planned phase's routes: homes that send queries, and homes that send keys alone.
PhaseRoutes PlannedRoutes() {
  Plan plan = test::PackLengths({96, 40, 17, 5}, {48, 4, 96}, 4);
  EXPECT_TRUE(AssignBalanced({4, 2, true}, Shape(), {.query_granularity = 8}, &plan).ok());
  return RoutePhase(plan, 0, 1);
}

TEST(MessageLayout, Bfloat16HalvesRowsAndNothingElse) {
  const RowSizes wide = RowSizesOf(Shape(), AttentionElement::kFloat32);
  const RowSizes narrow = RowSizesOf(Shape(), AttentionElement::kBfloat16);
  const PhaseRoutes phase = PlannedRoutes();
  ASSERT_GT(phase.routes.size(), 4u);
  for (const Route& route : phase.routes) {
    for (const bool backward : {false, true}) {
      const RequestLayout four = LayOutRequest(route, wide, backward);
      const RequestLayout two = LayOutRequest(route, narrow, backward);
      const int64_t row_values = 4 * 6 * route.query_rows;
      EXPECT_EQ(four.lse, 4 * 32 * ((backward ? 12 : 6) * route.query_rows + 4 * route.kv_rows));
      EXPECT_EQ(2 * two.k, four.k);
      EXPECT_EQ(2 * two.v, four.v);
      EXPECT_EQ(2 * two.d_out, four.d_out);
      EXPECT_EQ(2 * two.lse, four.lse);
      for (const RequestLayout& layout : {four, two}) {
        EXPECT_EQ(layout.delta, layout.lse + (backward ? row_values : 0));
        EXPECT_EQ(layout.size, layout.delta + (backward ? row_values : 0));
      }
      EXPECT_EQ(LayOutReply(route, narrow, backward).bytes(),
                LayOutReply(route, wide, backward).bytes());
    }
  }
}

TEST(MessageLayout, RepliesAreFloats) {
  const RowSizes sizes = RowSizesOf(Shape(), AttentionElement::kBfloat16);
  Route route;
  route.query_rows = 3;
  route.kv_rows = 5;
  const ReplyLayout forward = LayOutReply(route, sizes, /*backward=*/false);
  EXPECT_EQ(forward.lse, 3 * 6 * 32);
  EXPECT_EQ(forward.size, 3 * 6 * 33);
  EXPECT_EQ(forward.bytes(), 4 * forward.size);
  const ReplyLayout backward = LayOutReply(route, sizes, /*backward=*/true);
  EXPECT_EQ(backward.d_k, 3 * 6 * 32);
  EXPECT_EQ(backward.d_v, backward.d_k + 5 * 2 * 32);
  EXPECT_EQ(backward.size, backward.d_v + 5 * 2 * 32);
}

}  // namespace
}  // namespace rally
