#include "services/cli/progress.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

v1::JobEvent StatusEvent(v1::JobPhase phase, int64_t total_steps) {
  v1::JobEvent event;
  event.mutable_status()->set_phase(phase);
  event.mutable_status()->set_total_steps(total_steps);
  return event;
}

v1::JobEvent StepEvent(int64_t step, double loss) {
  v1::JobEvent event;
  event.mutable_step()->set_step(step);
  event.mutable_step()->set_loss(loss);
  event.mutable_step()->set_tokens(1000);
  event.mutable_step()->mutable_duration()->set_seconds(2);
  event.mutable_step()->set_imbalance_without_plan(1.5);
  event.mutable_step()->set_imbalance_with_plan(1.02);
  return event;
}

JobSummary Running() {
  JobSummary summary("my-job");
  summary.Add(StatusEvent(v1::JOB_PHASE_RUNNING, 100));
  summary.Add(StepEvent(49, 3.5));
  summary.Add(StepEvent(50, 3.25));
  return summary;
}

TEST(ShortNumberTest, KeepsThreeOrFourDigits) {
  EXPECT_EQ(ShortNumber(0), "0");
  EXPECT_EQ(ShortNumber(845.4), "845");
  EXPECT_EQ(ShortNumber(9999), "9999");
  EXPECT_EQ(ShortNumber(12345), "12.3k");
  EXPECT_EQ(ShortNumber(999949), "999.9k");
  EXPECT_EQ(ShortNumber(999951), "1.0M");
  EXPECT_EQ(ShortNumber(4600000), "4.6M");
}

TEST(ShortDurationTest, UsesTheTwoLargestUnits) {
  EXPECT_EQ(ShortDuration(absl::Seconds(-3)), "0s");
  EXPECT_EQ(ShortDuration(absl::Milliseconds(59400)), "59s");
  EXPECT_EQ(ShortDuration(absl::Milliseconds(59600)), "1m 00s");
  EXPECT_EQ(ShortDuration(absl::Seconds(125)), "2m 05s");
  EXPECT_EQ(ShortDuration(absl::Seconds(3725)), "1h 02m");
}

TEST(ProgressBarTest, FillsByItsShare) {
  EXPECT_EQ(ProgressBar(0, 12), "[----------]");
  EXPECT_EQ(ProgressBar(0.5, 12), "[#####-----]");
  EXPECT_EQ(ProgressBar(1, 12), "[##########]");
  EXPECT_EQ(ProgressBar(7, 12), "[##########]");
}

TEST(ProgressLineTest, SaysEverythingOnAPlainLine) {
  EXPECT_EQ(ProgressLine(Running(), 0),
            "my-job  running  step 50/100  loss 3.2500  500 tokens/s  imbalance 1.50 > 1.02  "
            "1m 40s left");
}

TEST(ProgressLineTest, HasABarInAWideTerminal) {
  const std::string line = ProgressLine(Running(), 120);
  EXPECT_THAT(line, StartsWith("my-job  running  [#"));
  EXPECT_THAT(line, HasSubstr("#-"));
  EXPECT_LE(line.size(), 120u);
}

TEST(ProgressLineTest, NeverExceedsANarrowTerminal) {
  for (int width = 1; width < 140; ++width) {
    EXPECT_LE(ProgressLine(Running(), width).size(), static_cast<size_t>(width));
  }
  EXPECT_THAT(ProgressLine(Running(), 60), Not(HasSubstr("[")));
}

TEST(ProgressLineTest, SaysWhyAJobWaits) {
  JobSummary summary("my-job");
  v1::JobEvent event = StatusEvent(v1::JOB_PHASE_QUEUED, 100);
  v1::Condition& condition = *event.mutable_status()->add_conditions();
  condition.set_type("Scheduled");
  condition.set_message("needs 2 workers, 1 is free\nand more below");
  summary.Add(event);
  EXPECT_EQ(ProgressLine(summary, 0), "my-job  queued  needs 2 workers, 1 is free");
}

}  // namespace
}  // namespace rally
