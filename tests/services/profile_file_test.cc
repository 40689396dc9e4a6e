// The profiles that ship are what they say: they parse, and their rates are such as the devices
// reach.
#include "services/profile/profile_file.h"

#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/temp_directory.h"

namespace rally {
namespace {

std::string Shipped(const std::string& name) {
  const char* directory = std::getenv("RALLY_SOURCE_DIR");
  return std::string(directory == nullptr ? "." : directory) + "/examples/profiles/" + name +
         ".profile";
}

// Llama-3 8B.
constexpr ModelShape kModel{.layers = 32,
                            .hidden_size = 4096,
                            .feed_forward_size = 14336,
                            .heads = 32,
                            .kv_heads = 8,
                            .head_dim = 128,
                            .vocabulary = 128256};

class ShippedProfileTest : public testing::TestWithParam<std::string> {
 protected:
  ShippedProfileTest() {
    absl::StatusOr<CostModel> model = ReadProfileFile(Shipped(GetParam()));
    EXPECT_TRUE(model.ok()) << model.status();
    if (model.ok()) model_ = std::make_unique<CostModel>(*std::move(model));
  }
  void SetUp() override { ASSERT_NE(model_, nullptr); }

  std::unique_ptr<CostModel> model_;
};

TEST_P(ShippedProfileTest, RoundTrips) {
  const absl::StatusOr<CostModel> again = CostModel::Parse(model_->Format());
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->profile(), model_->profile());
  EXPECT_EQ(model_->profile().name, GetParam());
  EXPECT_FALSE(model_->profile().sources.empty());
}

TEST_P(ShippedProfileTest, RatesAreBelowTheDevicesPeak) {
  constexpr double kPeak = 989e12;  // bfloat16, dense; data sheet.
  const CaTask whole{0, 0, 65536, 0, 65536, 0};
  const double pairs = 65536.0 * 65537 / 2;
  const double attention =
      pairs * ForwardFlopsPerPair(kModel) / model_->TaskSeconds(kModel, Direction::kForward, whole);
  EXPECT_GT(attention, 0.3 * kPeak);
  EXPECT_LT(attention, 0.75 * kPeak);
  const double linear = 2.0 * 8192 * static_cast<double>(LayerParameterCount(kModel)) /
                        model_->LinearSeconds(kModel, Direction::kForward, 8192);
  EXPECT_GT(linear, 0.5 * kPeak);
  EXPECT_LT(linear, 0.75 * kPeak);
}

TEST_P(ShippedProfileTest, ShardsBelowATileWasteTheKernel) {
  const auto seconds = [&](int64_t rows) {
    return model_->TaskSeconds(kModel, Direction::kForward, {0, 16384, 16384 + rows, 0, 16384, 0});
  };
  EXPECT_NEAR(seconds(64) / seconds(128), 1.0, 0.01);
  EXPECT_NEAR(seconds(32) / seconds(128), 1.0, 0.01);
  EXPECT_NEAR(seconds(1024) / seconds(128), 8.0, 0.2);
}

TEST_P(ShippedProfileTest, LinksAreAsFastAsMeasured) {
  const auto bandwidth = [&](LinkClass link) {
    return 1e9 / (model_->TransferSeconds(link, 3e9) - model_->TransferSeconds(link, 2e9));
  };
  EXPECT_NEAR(bandwidth(LinkClass::kSameNode), 366e9, 10e9);
  EXPECT_NEAR(bandwidth(LinkClass::kAcrossNodes), 40e9, 1e9);
  EXPECT_GT(bandwidth(LinkClass::kSameProcess), 1e12);
  EXPECT_NEAR(model_->TransferSeconds(LinkClass::kAcrossNodes, 1000), 0.17e-3, 1e-6);
}

INSTANTIATE_TEST_SUITE_P(Devices, ShippedProfileTest, testing::Values("h100", "h200"));

TEST(ProfileFileTest, ErrorsNameTheFile) {
  const TempDirectory directory;
  const std::string path = directory.path("broken.profile");
  EXPECT_EQ(ReadProfileFile(path).status().code(), absl::StatusCode::kNotFound);
  directory.Write("broken.profile", "rally-profile 1\nname a\nspeed 3\n");
  const absl::Status status = ReadProfileFile(path).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()),
              testing::StartsWith(path + ": line 3: record: \"speed\""));
}

}  // namespace
}  // namespace rally
