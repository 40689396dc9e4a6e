// What a profile's figures are made of. Times depend on the machine; what is timed does not.
#include "workers/profile/machine_profile.h"

#include <map>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "workers/model/layer_timer.h"
#include "workers/profile/attention_rates.h"
#include "workers/profile/forked_process.h"
#include "workers/profile/phase_costs.h"
#include "workers/profile/repeated_timing.h"

namespace rally {
namespace {

constexpr TimingEffort kQuick{1, 0.0};

ModelShape SmallModel() {
  return {.layers = 2,
          .hidden_size = 64,
          .feed_forward_size = 128,
          .heads = 4,
          .kv_heads = 2,
          .head_dim = 32,
          .vocabulary = 100};
}

// Computes nothing; keeps what it was asked.
class RecordingKernel final : public AttentionKernel {
 public:
  absl::Status Forward(const AttentionShape&, absl::Span<const VarlenTask> tasks) override {
    batches.emplace_back(tasks.begin(), tasks.end());
    return absl::OkStatus();
  }
  absl::Status Backward(const AttentionShape& shape, absl::Span<const VarlenTask> tasks) override {
    ++backwards;
    return Forward(shape, tasks);
  }
  std::string name() const override { return "recording"; }

  std::vector<VarlenBatch> batches;
  int backwards = 0;
};

TEST(AttentionRatesTest, TasksHaveTheRowsAndTheMeanKeysOfTheirPoint) {
  RecordingKernel kernel;
  const AttentionGrid grid{{1, 16, 300}, {1, 8, 100, 1000}};
  const auto points = MeasureAttentionRates(SmallModel(), AttentionElement::kFloat32,
                                            Direction::kForward, grid, kQuick, &kernel);
  ASSERT_TRUE(points.ok()) << points.status();
  EXPECT_EQ(points->size(), 12u);
  // Forward for its lse, one to warm up, one sample.
  ASSERT_EQ(kernel.batches.size(), 12u * 3);
  size_t batch = 0;
  for (const int64_t rows : grid.query_rows) {
    for (const int64_t keys : grid.mean_keys) {
      EXPECT_GT(points->at({rows, keys}), 0.0);
      for (const VarlenTask& task : kernel.batches[batch]) {
        EXPECT_EQ(task.q_rows, rows);
        const auto pairs = static_cast<double>(
            AllowedPairs(task.q_position, task.q_position + task.q_rows, task.kv_position,
                         task.kv_position + task.kv_rows, AttentionMask{}));
        EXPECT_NEAR(pairs / static_cast<double>(rows), keys, 0.5) << rows << " x " << keys;
      }
      batch += 3;
    }
  }
  EXPECT_EQ(kernel.backwards, 0);
}

TEST(AttentionRatesTest, BackwardFollowsItsForward) {
  RecordingKernel kernel;
  ASSERT_TRUE(MeasureAttentionRates(SmallModel(), AttentionElement::kFloat32, Direction::kBackward,
                                    {{16}, {32}}, kQuick, &kernel)
                  .ok());
  EXPECT_EQ(kernel.batches.size(), 3u);
  EXPECT_EQ(kernel.backwards, 2);
}

TEST(RepeatedTimingTest, TakesTheMedianAfterAWarmUp) {
  int calls = 0;
  const auto count = [&] {
    ++calls;
    return absl::OkStatus();
  };
  ASSERT_TRUE(TimeCall({3, 0.0}, count).ok());
  EXPECT_EQ(calls, 4);
  EXPECT_EQ(TimeCall({3, 0.0}, [] { return absl::AbortedError("no"); }).status().code(),
            absl::StatusCode::kAborted);
}

TEST(PhaseCostsTest, LongPhasesCostMore) {
  const auto kernel = MakeCpuAttentionKernel({.threads = 1});
  ASSERT_TRUE(kernel.ok()) << kernel.status();
  for (const AttentionElement element : {AttentionElement::kFloat32, AttentionElement::kBfloat16}) {
    const auto costs = MeasurePhaseCosts(SmallModel(), element, 5, kernel->get());
    ASSERT_TRUE(costs.ok()) << costs.status();
    for (const Profile::Cost& cost : *costs) {
      EXPECT_GE(cost.seconds, 0.0);
      EXPECT_LT(cost.seconds, 0.1);
      EXPECT_GT(cost.seconds_each, 0.0);
    }
  }
}

TEST(LayerTimerTest, TimesBothComputeTypes) {
  for (const ComputeType type : {ComputeType::kFloat32, ComputeType::kBfloat16}) {
    JobSpec spec;
    spec.model = SmallModel();
    spec.training.compute_type = type;
    const auto timer = MakeLayerTimer(spec, 1);
    ASSERT_TRUE(timer.ok()) << timer.status();
    const auto sizes = (*timer)->MeasureLayers({8, 128}, 3);
    ASSERT_TRUE(sizes.ok()) << sizes.status();
    ASSERT_EQ(sizes->size(), 2u);
    for (const LayerSeconds& seconds : *sizes) {
      EXPECT_GT(seconds.layer_forward, 0.0);
      EXPECT_GT(seconds.layer_backward, 0.0);
      EXPECT_GT(seconds.head_forward, 0.0);
      EXPECT_GT(seconds.head_backward, 0.0);
    }
    const auto update = (*timer)->MeasureUpdate(3);
    ASSERT_TRUE(update.ok()) << update.status();
    EXPECT_GT(update->fixed + update->per_parameter, 0.0);
  }
  EXPECT_EQ(MakeLayerTimer(JobSpec(), 1).status().code(), absl::StatusCode::kInvalidArgument);
}

TEST(ForkedProcessTest, SwapsTextAndSeesTheOtherGo) {
  const auto process = ForkedProcess::Start([](int fd) {
    const auto first = SwapText(fd, "");
    if (!first.ok()) return first.status();
    return SwapText(fd, *first + *first).status();
  });
  ASSERT_TRUE(process.ok()) << process.status();
  const int fd = (*process)->fd();
  EXPECT_EQ(SwapText(fd, "ab").value(), "");
  EXPECT_EQ(SwapText(fd, "").value(), "abab");
  EXPECT_EQ(SwapText(fd, "more").status().code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace rally
