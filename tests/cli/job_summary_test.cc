#include "services/cli/job_summary.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/step_forecast.h"

namespace rally {
namespace {

using testing::HasSubstr;

v1::JobEvent StepEvent(int64_t step, double loss, int64_t milliseconds, double without_plan) {
  v1::JobEvent event;
  v1::StepReport& report = *event.mutable_step();
  report.set_step(step);
  report.set_loss(loss);
  report.set_tokens(500);
  report.mutable_duration()->set_seconds(milliseconds / 1000);
  report.mutable_duration()->set_nanos(static_cast<int32_t>(milliseconds % 1000) * 1000000);
  report.set_imbalance_without_plan(without_plan);
  report.set_imbalance_with_plan(1.0);
  return event;
}

JobSummary ThreeSteps() {
  JobSummary summary("my-job");
  summary.Add(StepEvent(1, 5.5, 60000, 2.0));  // The first step is slow and does not count.
  summary.Add(StepEvent(2, 4.0, 500, 1.5));
  summary.Add(StepEvent(3, 3.0, 500, 1.0));
  return summary;
}

TEST(JobSummaryTest, KnowsNothingAtFirst) {
  const JobSummary summary("my-job");
  EXPECT_FALSE(summary.first_loss().has_value());
  EXPECT_FALSE(summary.last_loss().has_value());
  EXPECT_FALSE(summary.tokens_per_second().has_value());
  EXPECT_FALSE(summary.imbalance_with_plan().has_value());
  EXPECT_FALSE(summary.time_left().has_value());
  const nlohmann::ordered_json json = summary.ToJson(std::nullopt);
  EXPECT_EQ(json["steps"], 0);
  EXPECT_TRUE(json["first_loss"].is_null());
  EXPECT_TRUE(json["bigram_entropy"].is_null());
}

TEST(JobSummaryTest, FoldsSteps) {
  const JobSummary summary = ThreeSteps();
  EXPECT_EQ(summary.first_loss(), 5.5);
  EXPECT_EQ(summary.last_loss(), 3.0);
  EXPECT_DOUBLE_EQ(*summary.tokens_per_second(), 1000.0);
  EXPECT_DOUBLE_EQ(*summary.imbalance_without_plan(), 1.5);
  EXPECT_DOUBLE_EQ(*summary.imbalance_with_plan(), 1.0);
}

TEST(JobSummaryTest, AValidationIsTheLastLoss) {
  JobSummary summary = ThreeSteps();
  v1::JobEvent event;
  event.mutable_validation()->set_loss(3.5);
  summary.Add(event);
  EXPECT_EQ(summary.last_loss(), 3.5);
}

TEST(JobSummaryTest, TimeLeftFollowsThePace) {
  JobSummary summary = ThreeSteps();
  v1::JobEvent event;
  event.mutable_status()->set_total_steps(23);
  summary.Add(event);
  EXPECT_EQ(summary.time_left(), absl::Seconds(10));  // 20 steps of half a second.
}

TEST(JobSummaryTest, PrintsWhatProgramsNeed) {
  JobSummary summary = ThreeSteps();
  v1::JobEvent event;
  event.mutable_status()->set_phase(v1::JOB_PHASE_SUCCEEDED);
  event.mutable_status()->set_weights_checksum("abc");
  summary.Add(event);
  event.mutable_checkpoint()->set_directory("/checkpoints/step-3");
  summary.Add(event);
  EXPECT_EQ(summary.ToJson(2.5).dump(),
            "{\"job_id\":\"my-job\",\"state\":\"succeeded\",\"steps\":3,\"first_loss\":5.5,"
            "\"last_loss\":3.0,\"bigram_entropy\":2.5,\"tokens_per_second\":1000.0,"
            "\"imbalance_without_plan\":1.5,\"imbalance_with_plan\":1.0,"
            "\"checkpoint\":\"/checkpoints/step-3\",\"weights_checksum\":\"abc\"}");
  const std::string text = summary.ToText(2.5);
  EXPECT_THAT(text, HasSubstr("job my-job succeeded after step 3"));
  EXPECT_THAT(text, HasSubstr("5.5000 at the start, 3.0000 at the end (training)"));
  EXPECT_THAT(text, HasSubstr("bigram entropy  2.5000"));
}

TEST(JobSummaryTest, TheReasonIsTheLatestCondition) {
  JobSummary summary("my-job");
  v1::JobEvent event;
  for (const int64_t second : {5, 9, 7}) {
    v1::Condition& condition = *event.mutable_status()->add_conditions();
    condition.set_message("at " + std::to_string(second));
    condition.mutable_last_transition_time()->set_seconds(second);
  }
  summary.Add(event);
  EXPECT_EQ(summary.reason(), "at 9");
}

v1::JobEvent PacedEvent(double seconds, double predicted, double linear) {
  v1::JobEvent event = StepEvent(1, 0.0, 1000, 1.0);
  v1::PacedReport* paced = event.mutable_step()->mutable_paced();
  paced->set_step_seconds(seconds);
  paced->set_predicted_step_seconds(predicted);
  for (int a = 0; a < kActivities; ++a) {
    paced->add_shares(a == 0 ? linear : 0.0);
    paced->add_predicted_shares(a == 0 ? 0.5 : 0.0);
  }
  return event;
}

TEST(JobSummaryTest, OfAPacedJobShowsTheSimulatorBeside) {
  JobSummary summary("my-job");
  summary.Add(PacedEvent(9.0, 1.0, 0.9));  // The first step starts up and does not count.
  summary.Add(PacedEvent(1.0, 1.0, 0.4));
  summary.Add(PacedEvent(2.0, 1.0, 0.6));
  summary.Add(PacedEvent(5.0, 2.0, 0.2));
  const nlohmann::ordered_json paced = summary.ToJson(std::nullopt)["paced"];
  EXPECT_EQ(paced["steps"], 3);
  EXPECT_DOUBLE_EQ(paced["step_seconds"], 2.0);
  EXPECT_DOUBLE_EQ(paced["predicted_step_seconds"], 1.0);
  EXPECT_DOUBLE_EQ(paced["ratio"], 2.0);
  EXPECT_DOUBLE_EQ(paced["tokens_per_second"], 250.0);
  EXPECT_DOUBLE_EQ(paced["shares"]["linear"], 0.4);
  EXPECT_DOUBLE_EQ(paced["predicted_shares"]["linear"], 0.5);
  EXPECT_THAT(summary.ToText(std::nullopt), HasSubstr("2.000 of the simulator's 1 s"));
  EXPECT_FALSE(ThreeSteps().ToJson(std::nullopt).contains("paced"));
}

}  // namespace
}  // namespace rally
