#include "services/cli/chaos_report.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/convert.h"
#include "services/coordinator/conditions.h"

namespace rally {
namespace {

using testing::DoubleNear;
using testing::HasSubstr;

// A job and its faults by the second: what happens is written down as it would come in.
class ChaosReportTest : public testing::Test {
 protected:
  ChaosReportTest() {
    status_.set_phase(v1::JOB_PHASE_RUNNING);
    Say(0);
  }

  static absl::Time At(double seconds) {
    return absl::FromUnixSeconds(1700000000) + absl::Seconds(seconds);
  }
  void Say(double seconds) {
    v1::JobEvent event;
    *event.mutable_status() = status_;
    log_.Add(event, At(seconds));
  }
  void Step(int64_t step, double seconds, double duration, double loss = 1) {
    v1::JobEvent event;
    event.mutable_step()->set_step(step);
    event.mutable_step()->set_loss(loss);
    *event.mutable_step()->mutable_duration() = ToProto(absl::Seconds(duration));
    log_.Add(event, At(seconds));
    status_.set_step(step);
  }
  // Steps 1 to 4, a second each but the first.
  void Begin() {
    Step(1, 5, 5);
    for (int step = 2; step <= 4; ++step) Step(step, 4 + step, 1);
  }
  void ChangePool(double seconds) {
    status_.set_pool_changes(status_.pool_changes() + 1);
    Say(seconds);
  }
  void Restart(double seconds, int64_t step) {
    status_.set_restarts(status_.restarts() + 1);
    status_.set_phase(v1::JOB_PHASE_QUEUED);
    Say(seconds);
    status_.set_phase(v1::JOB_PHASE_RUNNING);
    status_.set_step(step);
    Say(seconds + 0.5);
  }
  ChaosReport Report(double now, const CalmJob* calm = nullptr) const {
    return MakeChaosReport(log_, calm, At(now));
  }

  v1::JobStatus status_;
  ChaosLog log_;
};

TEST_F(ChaosReportTest, AKilledServerCostsTimeAlone) {
  Begin();
  EXPECT_TRUE(log_.settled());
  log_.Begin("attention-1 (process 7)", 7, At(8.5));
  log_.End(9, At(8.6));
  EXPECT_FALSE(log_.settled());
  ChangePool(8.75);
  ChangePool(9);  // A later one is no sign any more.
  Step(5, 10, 2);
  EXPECT_TRUE(log_.settled());
  Step(6, 11, 1);
  const ChaosReport report = Report(100);
  ASSERT_EQ(report.faults.size(), 1u);
  EXPECT_EQ(report.faults[0].step, 4);
  EXPECT_EQ(report.faults[0].sign, "pool change");
  EXPECT_EQ(report.detected.count, 1);
  EXPECT_DOUBLE_EQ(report.detected.median, 0.25);
  EXPECT_DOUBLE_EQ(report.recovered.worst, 1.5);
  EXPECT_EQ(report.steps, 2);
  EXPECT_EQ(report.steps_lost, 0);
  EXPECT_EQ(report.steps_run_again, 0);
  EXPECT_EQ(report.pool_changes, 2);
  EXPECT_EQ(report.restarts, 0);
  EXPECT_DOUBLE_EQ(*report.step_seconds, 1);
  // Two steps of a second in the three from the end of step 4 to that of step 6.
  EXPECT_DOUBLE_EQ(*report.effective_ratio, 2.0 / 3);
}

TEST_F(ChaosReportTest, MedianAndWorstAreOverTheFaultsThatShowed) {
  Begin();
  int64_t step = 4;
  double now = 8;
  for (const double delay : {0.5, 0.25, 4.0, 1.0}) {
    log_.Begin("w", 1, At(now));
    log_.End(0, At(now));
    if (delay != 4.0) ChangePool(now + delay / 2);
    Step(++step, now + delay, delay);
    now += 10;
    Step(++step, now - 1, 1);
  }
  const ChaosReport report = Report(now);
  EXPECT_EQ(report.detected.count, 3);
  EXPECT_NEAR(report.detected.median, 0.25, 1e-6);
  EXPECT_NEAR(report.detected.worst, 0.5, 1e-6);
  EXPECT_EQ(report.recovered.count, 4);
  EXPECT_NEAR(report.recovered.median, 0.75, 1e-6);
  EXPECT_NEAR(report.recovered.worst, 4, 1e-6);
  EXPECT_FALSE(report.faults[2].detected.has_value());
}

TEST_F(ChaosReportTest, ARestartLosesStepsAndRunsThemAgain) {
  Begin();
  log_.Begin("worker-0 (process 3)", 3, At(8.25));
  log_.End(0, At(8.25));
  Restart(8.5, 2);
  Step(3, 10, 1);
  Step(4, 11, 1);
  EXPECT_FALSE(log_.settled()) << "steps 3 and 4 were there before";
  Step(5, 12, 1);
  EXPECT_TRUE(log_.settled());
  const ChaosReport report = Report(12);
  EXPECT_EQ(report.faults[0].sign, "restart");
  EXPECT_EQ(report.steps_lost, 2);
  EXPECT_EQ(report.steps_run_again, 2);
  EXPECT_EQ(report.steps, 1);
  EXPECT_EQ(report.restarts, 1);
  EXPECT_DOUBLE_EQ(report.recovered.worst, 3.75);
  EXPECT_DOUBLE_EQ(*report.effective_ratio, 0.25);
}

TEST_F(ChaosReportTest, AStepThatWasAllButDoneIsNoRecovery) {
  Begin();
  log_.Begin("s", 1, At(8.875));
  log_.End(0, At(8.875));
  Step(5, 9, 1);
  ChangePool(9.5);
  Step(6, 11, 2);
  const ChaosReport report = Report(11);
  EXPECT_DOUBLE_EQ(report.recovered.worst, 2.125);
}

TEST_F(ChaosReportTest, WhatHappenedBeforeButIsHeardOfLaterIsNoSign) {
  Begin();
  log_.Begin("s", 1, At(10));
  Step(5, 9, 1);
  ChangePool(9.5);
  EXPECT_EQ(log_.faults()[0].step, 5);
  EXPECT_FALSE(log_.faults()[0].recovered.has_value());
  EXPECT_FALSE(log_.faults()[0].detected.has_value());
  log_.End(0, At(12));
  Step(6, 11, 2);
  EXPECT_FALSE(log_.settled()) << "the fault was not over";
  Step(7, 13, 2);
  EXPECT_TRUE(log_.settled());
  EXPECT_DOUBLE_EQ(Report(13).recovered.worst, 1);
}

TEST_F(ChaosReportTest, ConditionsAndSilenceAreSigns) {
  Begin();
  SetCondition(&status_, "CheckpointSaved", true, "Saved", "step 4", At(8));
  log_.Begin("/disk", 0, At(8));
  Say(8.5);  // A good one is none.
  SetCondition(&status_, "CheckpointSaved", false, "DiskFull", "no space", At(9));
  Say(9);
  EXPECT_EQ(log_.faults()[0].sign, "CheckpointSaved: DiskFull");
  log_.End(0, At(9));
  Step(5, 10, 1);
  log_.Begin("coordinator (process 1)", 1, At(11));
  log_.AddUnreachable(At(11.5));
  log_.AddUnreachable(At(11.75));
  EXPECT_EQ(log_.faults()[1].sign, "coordinator unreachable");
  EXPECT_EQ(*log_.faults()[1].detected, At(11.5));
}

TEST_F(ChaosReportTest, AJobThatDoesNotRecoverCostsAllTheTime) {
  Begin();
  log_.Begin("s", 1, At(8));
  log_.End(0, At(8));
  SetCondition(&status_, "AttentionPoolEmpty", true, "NoServers", "it waits", At(8.5));
  ChangePool(8.5);
  const ChaosReport report = Report(38);
  EXPECT_EQ(report.recovered.count, 0);
  EXPECT_DOUBLE_EQ(*report.effective_ratio, 0);
  EXPECT_THAT(ToText(report), HasSubstr("recovered     never"));
  EXPECT_TRUE(ToJson(report)["recovered_seconds"]["worst"].is_null());
}

TEST_F(ChaosReportTest, LossesAreComparedByStep) {
  CalmJob calm{"calm", {{1, 4.0}, {2, 2.0}, {3, 1.0}, {9, 1.0}}};
  Step(1, 5, 5, 4.0);
  Step(2, 6, 1, 2.5);  // Made again below, but its first loss counts too.
  Step(2, 7, 1, 2.0);
  Step(3, 8, 1, 1.125);
  Step(4, 9, 1, 7);  // The calm job has none.
  const ChaosReport report = Report(9, &calm);
  EXPECT_EQ(report.steps_compared, 4);
  EXPECT_THAT(*report.loss_difference, DoubleNear(0.25, 1e-12));
  EXPECT_FALSE(Report(9).loss_difference.has_value());
}

TEST_F(ChaosReportTest, TextAndJsonSayTheSame) {
  Begin();
  log_.Begin("attention-1 (process 7)", 7, At(8.5));
  log_.End(9, At(8.5));
  ChangePool(8.75);
  Step(5, 10, 2);
  const CalmJob calm{"calm", {{5, 1.0}}};
  ChaosReport report = Report(10, &calm);
  report.job_id = "mine";
  report.what = "kill attention-server, respawn";
  EXPECT_EQ(
      ToText(report),
      "job mine is running after 1 fault: kill attention-server, respawn\n"
      "      TIME (UTC)    VICTIM                     STEP   DETECTED  RECOVERED  SIGN\n"
      "   1  22:13:28.500  attention-1 (process 7)       4    0.250 s    1.500 s  pool change\n"
      "  detected      after 0.250 s (median), 0.250 s (worst), 1 of 1 faults\n"
      "  recovered     after 1.500 s (median), 1.500 s (worst), 1 of 1 faults\n"
      "  steps         1 made, 0 lost, 0 run again\n"
      "  pool changes  1\n"
      "  restarts      0\n"
      "  time          0.500 of it effective: undisturbed, a step takes 1.000 s\n"
      "  loss          0.0e+00 at most from job calm's, over 1 steps\n");
  const nlohmann::ordered_json json = ToJson(report);
  EXPECT_EQ(json["job_id"], "mine");
  EXPECT_EQ(json["state"], "running");
  EXPECT_EQ(json["faults"][0]["process_id"], 7);
  EXPECT_EQ(json["faults"][0]["respawned_process_id"], 9);
  EXPECT_EQ(json["faults"][0]["time"], "2023-11-14T22:13:28.5+00:00");
  EXPECT_DOUBLE_EQ(json["faults"][0]["recovered_seconds"], 1.5);
  EXPECT_DOUBLE_EQ(json["effective_ratio"], 0.5);
  EXPECT_EQ(json["against"], "calm");
}

TEST_F(ChaosReportTest, WithoutAFaultThereIsNothingToSay) {
  Begin();
  const ChaosReport report = Report(10);
  EXPECT_EQ(report.steps, 0);
  EXPECT_FALSE(report.effective_ratio.has_value());
  EXPECT_THAT(ToText(report), HasSubstr("after 0 faults"));
}

}  // namespace
}  // namespace rally
