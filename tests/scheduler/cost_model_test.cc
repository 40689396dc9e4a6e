#include "scheduler/cost_model.h"

#include <cmath>
#include <string>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using testing::HasSubstr;

// Rates double with each doubling of rows up to 128, and with the keys.
constexpr absl::string_view kText = R"(rally-profile 1
# A device that was never built.
name test
source the test, where round figures
source are easy to check
element-bytes 2
attention-shape 8 2 64
attention forward 64 100 1e6
attention forward 64 400 2e6
attention forward 128 100 2e6
attention forward 128 400 4e6
attention backward 128 100 0.5e6
layer-parameters 1000
linear forward 100 0.1
linear forward 1000 0.5
linear backward 100 0.2
transfer same-process 1 1e-6
transfer same-process 1e6 1e-4
transfer same-node 1000 1e-5
transfer same-node 2000 1e-5
transfer same-node 4000 3e-5
transfer across-nodes 1000 2e-4
transfer across-nodes 5000 6e-4
phase backward 3e-5 1e-9
update 0.01 1e-9
reduce 0.02 2e-9
)";

CostModel Parsed(absl::string_view text = kText) {
  absl::StatusOr<CostModel> model = CostModel::Parse(text);
  EXPECT_TRUE(model.ok()) << model.status();
  return *std::move(model);
}

std::string ErrorOf(const std::string& text) {
  const absl::StatusOr<CostModel> model = CostModel::Parse(text);
  EXPECT_EQ(model.status().code(), absl::StatusCode::kInvalidArgument);
  return std::string(model.status().message());
}

std::string Replaced(absl::string_view from, absl::string_view to) {
  const std::string text = absl::StrReplaceAll(kText, {{from, to}});
  EXPECT_NE(text, kText) << from;
  return text;
}

// The shape that was measured: 8 heads of 64.
ModelShape Measured() { return {.heads = 8, .kv_heads = 2, .head_dim = 64}; }

// `rows` query rows that see `keys` keys each.
CaTask Rectangle(int64_t rows, int64_t keys) { return {0, keys, keys + rows, 0, keys, 0}; }

TEST(CostModelTest, TasksTakeTheirPairsAtTheMeasuredRate) {
  const CostModel model = Parsed();
  const auto seconds = [&](int64_t rows, int64_t keys) {
    return model.TaskSeconds(Measured(), Direction::kForward, Rectangle(rows, keys));
  };
  EXPECT_DOUBLE_EQ(seconds(64, 100), 64 * 100 / 1e6);
  EXPECT_DOUBLE_EQ(seconds(128, 400), 128 * 400 / 4e6);
  // Halfway in the logarithm: the mean of the two rates, of the four.
  EXPECT_NEAR(seconds(64, 200), 64 * 200 / 1.5e6, 1e-12);
  EXPECT_NEAR(model.PairsPerSecond(Measured(), Direction::kForward, 128 / std::sqrt(2.0), 200),
              2.25e6, 1.0);
  // Outside the grid the edge holds.
  EXPECT_DOUBLE_EQ(seconds(4096, 8000), 4096.0 * 8000 / 4e6);
  EXPECT_DOUBLE_EQ(seconds(1, 1), 1 / 1e6);
  EXPECT_DOUBLE_EQ(model.TaskSeconds(Measured(), Direction::kBackward, Rectangle(10, 10)),
                   100 / 0.5e6);
}

TEST(CostModelTest, OnlyAllowedPairsCount) {
  const CostModel model = Parsed();
  // Causal: 128 rows of their own 128 keys are 8,256 pairs, 64.5 keys a row.
  const CaTask square{0, 0, 128, 0, 128, 0};
  EXPECT_DOUBLE_EQ(model.TaskSeconds(Measured(), Direction::kForward, square), 8256 / 2e6);
  // A window of 100: every late row sees 100 keys, however long the range.
  ModelShape window = Measured();
  window.mask.window = 100;
  const CaTask late{0, 1000, 1128, 0, 1128, 0};
  EXPECT_DOUBLE_EQ(model.TaskSeconds(window, Direction::kForward, late), 128 * 100 / 2e6);
  const CaTask future{0, 0, 10, 10, 20, 0};
  EXPECT_EQ(model.TaskSeconds(Measured(), Direction::kForward, future), 0.0);
}

TEST(CostModelTest, OtherShapesScaleByFlop) {
  const CostModel model = Parsed();
  ModelShape wide{.hidden_size = 10,
                  .feed_forward_size = 30,
                  .heads = 4,
                  .kv_heads = 4,
                  .head_dim = 256,
                  .vocabulary = 500};
  EXPECT_DOUBLE_EQ(model.TaskSeconds(wide, Direction::kForward, Rectangle(128, 100)),
                   2 * 128 * 100 / 2e6);
  const double layers = static_cast<double>(LayerParameterCount(wide)) / 1000;
  EXPECT_DOUBLE_EQ(model.LinearSeconds(wide, Direction::kForward, 100), 0.1 * layers);
  // Without head times: as the linear part, by parameters.
  EXPECT_DOUBLE_EQ(model.HeadSeconds(wide, Direction::kForward, 100), 0.1 * 10 * 500 / 1000);
  const CostModel with_head = Parsed(
      absl::StrCat(kText, "head-parameters 250\nhead forward 10 0.3\nhead backward 10 0.4\n"));
  EXPECT_DOUBLE_EQ(with_head.HeadSeconds(wide, Direction::kBackward, 20), 0.8 * 10 * 500 / 250);
}

TEST(CostModelTest, LinearPartInterpolatesTheRate) {
  const CostModel model = Parsed();
  const ModelShape shape = Measured();
  const double unit = static_cast<double>(LayerParameterCount(shape)) / 1000;
  const auto seconds = [&](int64_t tokens) {
    return model.LinearSeconds(shape, Direction::kForward, tokens) / unit;
  };
  EXPECT_DOUBLE_EQ(seconds(1000), 0.5);
  EXPECT_DOUBLE_EQ(seconds(2000), 1.0);
  EXPECT_DOUBLE_EQ(seconds(10), 0.01);
  EXPECT_NEAR(seconds(316), 316 / 1500.0, 1e-3);  // Half the way from 1,000 to 2,000 per second.
  EXPECT_EQ(seconds(0), 0.0);
}

TEST(CostModelTest, TransfersHaveAFloorAndABandwidth) {
  const CostModel model = Parsed();
  EXPECT_EQ(model.TransferSeconds(LinkClass::kSameNode, 0), 0.0);
  EXPECT_DOUBLE_EQ(model.TransferSeconds(LinkClass::kSameNode, 1), 1e-5);
  EXPECT_DOUBLE_EQ(model.TransferSeconds(LinkClass::kSameNode, 1500), 1e-5);
  EXPECT_DOUBLE_EQ(model.TransferSeconds(LinkClass::kSameNode, 3000), 2e-5);
  EXPECT_DOUBLE_EQ(model.TransferSeconds(LinkClass::kSameNode, 4000), 3e-5);
  EXPECT_DOUBLE_EQ(model.TransferSeconds(LinkClass::kSameNode, 14000), 13e-5);
  EXPECT_DOUBLE_EQ(model.TransferSeconds(LinkClass::kAcrossNodes, 3000), 4e-4);
}

TEST(CostModelTest, FixedCosts) {
  const CostModel model = Parsed();
  EXPECT_EQ(model.PhaseSeconds(Direction::kForward, 1000), 0.0);
  EXPECT_DOUBLE_EQ(model.PhaseSeconds(Direction::kBackward, 1000), 3.1e-5);
  EXPECT_DOUBLE_EQ(model.UpdateSeconds(1000000), 0.011);
  EXPECT_EQ(model.ReduceSeconds(1000000, 1), 0.0);
  EXPECT_DOUBLE_EQ(model.ReduceSeconds(1000000, 4), 0.02 + 0.002 * 1.5);
  EXPECT_EQ(model.element_bytes(), 2);
}

TEST(ProfileTextTest, RoundTripsExactly) {
  Profile profile = Parsed().profile();
  profile.attention[0][{64, 100}] = 1e6 / 3.0;
  profile.transfer[1][1000] = 1e-5 / 7.0;
  profile.head_parameters = 12;
  for (Profile::Times& times : profile.head) times[0.1] = 1.0 / 3.0;
  const absl::StatusOr<Profile> parsed = ParseProfile(FormatProfile(profile));
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(*parsed, profile);
  EXPECT_EQ(FormatProfile(*parsed), FormatProfile(profile));
  EXPECT_EQ(parsed->sources.size(), 2u);
}

TEST(ProfileTextTest, ErrorsNameLineFieldAndRange) {
  EXPECT_EQ(ErrorOf(""), "line 1: \"\" is not \"rally-profile 1\"");
  EXPECT_EQ(ErrorOf("rally-profile 2\n"), "line 1: \"rally-profile 2\" is not \"rally-profile 1\"");
  EXPECT_EQ(ErrorOf(Replaced("forward 64 100 1e6", "forward 64 100 -1")),
            "line 8: attention: pairs_per_second: \"-1\" is not a number in (0, 1e30]");
  EXPECT_EQ(ErrorOf(Replaced("forward 64 100 1e6", "forward 64 nan 1e6")),
            "line 8: attention: mean_keys: \"nan\" is not a number in (0, 1e30]");
  EXPECT_EQ(ErrorOf(Replaced("forward 64 100 1e6", "sideways 64 100 1e6")),
            "line 8: attention: direction: \"sideways\" is not forward, backward");
  EXPECT_EQ(ErrorOf(Replaced("forward 64 100 1e6", "forward 64 100")),
            "line 8: attention: pairs_per_second: is missing");
  EXPECT_EQ(ErrorOf(Replaced("forward 64 100 1e6", "forward 64 100 1e6 7")),
            "line 8: attention: \"7\" stands after the last field");
  EXPECT_EQ(ErrorOf(Replaced("element-bytes 2", "element-bytes 2.5")),
            "line 6: element-bytes: bytes: \"2.5\" is not a whole number in [1, 16]");
  EXPECT_EQ(ErrorOf(Replaced("attention-shape 8 2", "attention-shape 8000000 2")),
            "line 7: attention-shape: heads: \"8000000\" is not a whole number in [1, 1048576]");
  EXPECT_THAT(ErrorOf(Replaced("update 0.01", "upkeep 0.01")),
              HasSubstr("line 25: record: \"upkeep\" is not one of name, source, attention"));
  EXPECT_EQ(ErrorOf(absl::StrCat(kText, "linear forward 100 0.3\n")),
            "line 27: linear: stands already");
}

TEST(ProfileTextTest, WhatIsMissingIsNamed) {
  EXPECT_EQ(ErrorOf(Replaced("name test\n", "")), "name: \"\" is not one word");
  Profile profile = Parsed().profile();
  profile.sources.push_back("two\nlines");
  EXPECT_EQ(CheckProfile(profile).message(), "source: \"two\nlines\" is not a line of text");
  EXPECT_EQ(ErrorOf(Replaced("attention forward 64 400 2e6\n", "")),
            "attention forward: the grid lacks the point (64, 400)");
  EXPECT_EQ(ErrorOf(Replaced("attention backward 128 100 0.5e6\n", "")),
            "attention backward: has no points");
  EXPECT_EQ(ErrorOf(Replaced("transfer across-nodes 5000 6e-4\n", "")),
            "transfer across-nodes: has 1 points, at least 2 are needed");
  EXPECT_EQ(
      ErrorOf(Replaced("transfer across-nodes 5000 6e-4\n", "transfer across-nodes 5e3 1e-4\n")),
      "transfer across-nodes: 5000 bytes take 0.0001 s, less than fewer bytes, 0.0002 s");
  EXPECT_EQ(ErrorOf(absl::StrCat(kText, "head forward 10 0.3\n")),
            "head-parameters: is missing beside head times");
  EXPECT_EQ(ErrorOf(absl::StrCat(kText, "head-parameters 3\nhead forward 10 0.3\n")),
            "head backward: has 0 points, at least 1 are needed");
}

}  // namespace
}  // namespace rally
