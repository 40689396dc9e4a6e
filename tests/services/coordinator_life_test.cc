// A real coordinator over real gRPC leads scripted members through whole jobs.
#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/convert.h"
#include "services/coordinator/conditions.h"
#include "tests/services/coordinator_fixture.h"

namespace rally {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CoordinatorLifeTest : public CoordinatorFixture {};

std::vector<v1::JobPhase> Phases(const std::vector<v1::JobEvent>& events) {
  std::vector<v1::JobPhase> phases;
  for (const v1::JobEvent& event : events) {
    if (!event.has_status()) continue;
    if (phases.empty() || phases.back() != event.status().phase()) {
      phases.push_back(event.status().phase());
    }
  }
  return phases;
}

std::vector<int64_t> Steps(const std::vector<v1::JobEvent>& events) {
  std::vector<int64_t> steps;
  for (const v1::JobEvent& event : events) {
    if (event.has_step()) steps.push_back(event.step().step());
  }
  return steps;
}

std::vector<int64_t> Validations(const std::vector<v1::JobEvent>& events) {
  std::vector<int64_t> steps;
  for (const v1::JobEvent& event : events) {
    if (event.has_validation()) steps.push_back(event.validation().step());
  }
  return steps;
}

void ExpectGapless(const std::vector<v1::JobEvent>& events, int64_t after) {
  for (size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].sequence(), after + 1 + static_cast<int64_t>(i));
  }
}

TEST_F(CoordinatorLifeTest, LeadsAJobFromSubmissionToItsEnd) {
  v1::JobSpec spec = Spec(5);
  spec.mutable_validation()->set_every(2);
  spec.mutable_checkpoint()->set_directory("checkpoints");
  spec.mutable_checkpoint()->set_every(2);
  v1::Job job;
  ASSERT_TRUE(Submit("first", spec, &job).ok());
  EXPECT_EQ(job.status().phase(), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(job.spec().model().vocabulary(), 257);
  AddMembers(2, 1);

  const std::vector<v1::JobEvent> events = Watch("first");
  ExpectGapless(events, 0);
  EXPECT_THAT(Phases(events), ElementsAre(v1::JOB_PHASE_QUEUED, v1::JOB_PHASE_STARTING,
                                          v1::JOB_PHASE_RUNNING, v1::JOB_PHASE_SUCCEEDED));
  EXPECT_THAT(Steps(events), ElementsAre(1, 2, 3, 4, 5));
  EXPECT_THAT(Validations(events), ElementsAre(2, 4, 5));

  job = Get("first");
  EXPECT_EQ(job.status().step(), 5);
  EXPECT_EQ(job.status().checkpoint(), "checkpoints/step-5");
  EXPECT_EQ(job.status().weights_checksum(), "00c0ffee00c0ffee");
  const v1::StepReport& last = job.status().last_step();
  EXPECT_DOUBLE_EQ(last.loss(), 0.2);
  EXPECT_EQ(last.tokens(), 128);
  EXPECT_EQ(last.attention_bytes(), 300);
  EXPECT_GE(last.imbalance_without_plan(), 1.0);
  EXPECT_GE(last.imbalance_with_plan(), 1.0);

  // A watch resumed anywhere gives exactly the rest.
  for (int64_t after : {int64_t{1}, int64_t{7}, static_cast<int64_t>(events.size())}) {
    const std::vector<v1::JobEvent> rest = Watch("first", after);
    EXPECT_EQ(rest.size(), events.size() - after);
    ExpectGapless(rest, after);
  }
}

TEST_F(CoordinatorLifeTest, ContinuesFromTheCheckpointWhenAMemberDies) {
  AddMember({.id = "worker-0"});
  AddMember({.id = "worker-1", .die_at_step = 4});
  AddMember({.id = "server-0", .role = v1::MEMBER_ROLE_ATTENTION});
  v1::JobSpec spec = Spec(6);
  spec.mutable_checkpoint()->set_directory("checkpoints");
  spec.mutable_checkpoint()->set_every(2);
  ASSERT_TRUE(Submit("hurt", spec).ok());
  const std::vector<v1::JobEvent> events = Watch("hurt");
  const v1::Job job = Get("hurt");
  EXPECT_EQ(job.status().phase(), v1::JOB_PHASE_SUCCEEDED);
  EXPECT_EQ(job.status().restarts(), 1);
  EXPECT_EQ(job.status().epoch(), 2u);
  EXPECT_TRUE(members_[0]->last_prepare_restores());
  const std::vector<int64_t> steps = Steps(events);
  EXPECT_EQ(std::set<int64_t>(steps.begin(), steps.end()), (std::set<int64_t>{1, 2, 3, 4, 5, 6}));
}

TEST_F(CoordinatorLifeTest, FailsAtOnceOnTheJobsOwnFault) {
  AddMember({.id = "worker-0"});
  AddMember({.id = "worker-1",
             .fail_at_step = 2,
             .failure = absl::DataLossError("the checkpoint is damaged")});
  AddMember({.id = "server-0", .role = v1::MEMBER_ROLE_ATTENTION});
  ASSERT_TRUE(Submit("broken", Spec(6)).ok());
  Watch("broken");
  const v1::Job job = Get("broken");
  EXPECT_EQ(job.status().phase(), v1::JOB_PHASE_FAILED);
  EXPECT_EQ(job.status().restarts(), 0);
  const v1::Condition* completed = FindCondition(job.status(), "Completed");
  ASSERT_NE(completed, nullptr);
  EXPECT_EQ(completed->reason(), "DataLoss");
  EXPECT_THAT(completed->message(), HasSubstr("the checkpoint is damaged"));
  for (const auto& member : members_) EXPECT_TRUE(member->WaitIdle(Deadline()));
}

TEST_F(CoordinatorLifeTest, CancelWritesACheckpointFirst) {
  ScriptedMember* slow = AddMember({.id = "worker-0", .pause_after_step = 3});
  AddMember({.id = "worker-1"});
  AddMember({.id = "server-0", .role = v1::MEMBER_ROLE_ATTENTION});
  v1::JobSpec spec = Spec(100);
  spec.mutable_checkpoint()->set_directory("checkpoints");
  ASSERT_TRUE(Submit("unwanted", spec).ok());
  ASSERT_TRUE(slow->WaitPaused(Deadline()));
  grpc::ClientContext context;
  v1::CancelJobRequest request;
  request.set_job_id("unwanted");
  v1::Job job;
  ASSERT_TRUE(jobs()->CancelJob(&context, request, &job).ok());
  EXPECT_EQ(job.status().phase(), v1::JOB_PHASE_RUNNING);
  slow->Resume();
  const std::vector<v1::JobEvent> events = Watch("unwanted");
  job = Get("unwanted");
  EXPECT_EQ(job.status().phase(), v1::JOB_PHASE_CANCELLED);
  EXPECT_EQ(job.status().step(), 4);
  EXPECT_EQ(job.status().checkpoint(), "checkpoints/step-4");
  for (const auto& member : members_) EXPECT_TRUE(member->WaitIdle(Deadline()));
}

TEST_F(CoordinatorLifeTest, SurvivesItsOwnRestart) {
  ScriptedMember* slow = AddMember({.id = "worker-0", .pause_after_step = 3});
  AddMember({.id = "worker-1"});
  AddMember({.id = "server-0", .role = v1::MEMBER_ROLE_ATTENTION});
  v1::JobSpec spec = Spec(6);
  spec.mutable_checkpoint()->set_directory("checkpoints");
  spec.mutable_checkpoint()->set_every(2);
  ASSERT_TRUE(Submit("lasting", spec).ok());
  ASSERT_TRUE(slow->WaitPaused(Deadline()));
  WaitForStep("lasting", 3);
  StopCoordinator();
  slow->Resume();
  StartCoordinator();
  const std::vector<v1::JobEvent> events = Watch("lasting");
  ExpectGapless(events, 0);
  const v1::Job job = Get("lasting");
  EXPECT_EQ(job.status().phase(), v1::JOB_PHASE_SUCCEEDED);
  EXPECT_EQ(job.status().restarts(), 0);
  EXPECT_EQ(job.status().epoch(), 2u);
  EXPECT_THAT(Steps(events), ElementsAre(1, 2, 3, 3, 4, 5, 6));
  bool told = false;
  for (const v1::JobEvent& event : events) {
    if (!event.has_status()) continue;
    const v1::Condition* ready = FindCondition(event.status(), "Ready");
    told |= ready != nullptr && ready->reason() == "CoordinatorRestarted";
  }
  EXPECT_TRUE(told);
}

TEST_F(CoordinatorLifeTest, GivesAJobBackWhenAMemberLeaves) {
  ScriptedMember* leaver = AddMember({.id = "worker-0", .pause_after_step = 2});
  AddMember({.id = "worker-1"});
  AddMember({.id = "server-0", .role = v1::MEMBER_ROLE_ATTENTION});
  v1::JobSpec spec = Spec(5);
  spec.mutable_checkpoint()->set_directory("checkpoints");
  ASSERT_TRUE(Submit("moved", spec).ok());
  ASSERT_TRUE(leaver->WaitPaused(Deadline()));
  leaver->Leave();
  leaver->Resume();
  ASSERT_TRUE(leaver->WaitIdle(Deadline()));
  AddMember({.id = "worker-2"});
  const std::vector<v1::JobEvent> events = Watch("moved");
  const v1::Job job = Get("moved");
  EXPECT_EQ(job.status().phase(), v1::JOB_PHASE_SUCCEEDED);
  EXPECT_EQ(job.status().restarts(), 0);
  EXPECT_EQ(leaver->prepares(), 1);
  EXPECT_THAT(Steps(events), ElementsAre(1, 2, 3, 4, 5));
}

}  // namespace
}  // namespace rally
