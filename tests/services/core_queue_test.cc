// The core's queue, placement, idempotence and recovery.
#include <string>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "proto/convert.h"
#include "services/coordinator/conditions.h"
#include "tests/services/core_harness.h"

namespace rally {
namespace {

using testing::HasSubstr;
using Message = v1::CoordinatorMessage;

std::string ScheduledReason(const CoreHarness& core, const std::string& id) {
  const v1::Condition* condition = FindCondition(core.job(id).status(), "Scheduled");
  return condition == nullptr ? "" : condition->reason();
}

TEST(CoreQueueTest, WaitsForAllMembersAndSaysHowManyAreMissing) {
  CoreHarness core;
  core.Submit("job", CoreHarness::Spec(2, 1, 3));
  core.Hello("a");
  EXPECT_EQ(ScheduledReason(core, "job"), "NotEnoughWorkers");
  EXPECT_THAT(FindCondition(core.job("job").status(), "Scheduled")->message(),
              HasSubstr("needs 2 model workers; 1 idle of 1 registered"));
  const SessionId b = core.Hello("b");
  EXPECT_EQ(ScheduledReason(core, "job"), "NotEnoughAttentionServers");
  EXPECT_TRUE(core.Sent(b, Message::kPrepare).empty());
  const SessionId server = core.Hello("0-server", v1::MEMBER_ROLE_ATTENTION);
  EXPECT_EQ(core.phase("job"), v1::JOB_PHASE_STARTING);
  // Workers first, each kind in order of id.
  ASSERT_EQ(core.Sent(server, Message::kPrepare).size(), 1u);
  EXPECT_EQ(core.Sent(server, Message::kPrepare)[0].prepare().rank(), 2);
  EXPECT_EQ(core.Sent(b, Message::kPrepare)[0].prepare().rank(), 1);
  EXPECT_TRUE(core.Sent(b, Message::kPrepare)[0].prepare().single_host());
}

TEST(CoreQueueTest, OrdersByPriorityThenTimeAndLetsNobodyOvertake) {
  CoreHarness core;
  core.Submit("large", CoreHarness::Spec(2, 0, 3));
  core.Advance(absl::Seconds(1));
  core.Submit("small", CoreHarness::Spec(1, 0, 3));
  core.Hello("a");
  EXPECT_EQ(core.phase("small"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(ScheduledReason(core, "small"), "WaitsForEarlierJob");
  JobSpec urgent = CoreHarness::Spec(1, 0, 3);
  urgent.priority = 1;
  core.Advance(absl::Seconds(1));
  core.Submit("urgent", urgent);
  EXPECT_EQ(core.phase("urgent"), v1::JOB_PHASE_STARTING);
}

TEST(CoreQueueTest, PrefersOneHost) {
  CoreHarness core;
  core.Hello("a", v1::MEMBER_ROLE_MODEL, "host-1");
  const SessionId b = core.Hello("b", v1::MEMBER_ROLE_MODEL, "host-2");
  const SessionId c = core.Hello("c", v1::MEMBER_ROLE_MODEL, "host-2");
  core.Submit("job", CoreHarness::Spec(2, 0, 3));
  EXPECT_EQ(core.Sent(b, Message::kPrepare).size(), 1u);
  ASSERT_EQ(core.Sent(c, Message::kPrepare).size(), 1u);
  EXPECT_TRUE(core.Sent(c, Message::kPrepare)[0].prepare().single_host());
}

TEST(CoreQueueTest, PrefersThoseThatHaveNotFailed) {
  CoreHarness core;
  const SessionId w = core.Hello("w");
  std::vector<SessionId> servers;
  for (const char* id : {"a", "b", "c"}) {
    servers.push_back(core.Hello(id, v1::MEMBER_ROLE_ATTENTION));
  }
  JobSpec spec = CoreHarness::Spec(1, 1, 3);
  spec.max_restarts = 10;
  core.Submit("job", spec);
  std::vector<size_t> chosen;
  for (uint32_t epoch = 1; epoch <= 4; ++epoch) {
    for (size_t i = 0; i < servers.size(); ++i) {
      const auto prepares = core.Sent(servers[i], Message::kPrepare);
      if (prepares.empty() || prepares.back().prepare().job().epoch() != epoch) continue;
      chosen.push_back(i);
      core.SayFailed(servers[i], "job", epoch, absl::UnavailableError("no such device"));
      core.SayReleased(servers[i], "job", epoch);
    }
    core.SayReleased(w, "job", epoch);
    core.Pass(absl::Seconds(8), {w, servers[0], servers[1], servers[2]});
  }
  EXPECT_THAT(chosen, testing::ElementsAre(0, 1, 2, 0));
}

// Each start would be an event of every job that waits.
TEST(CoreQueueTest, AJobThatWaitsIsNotToldOfEveryStart) {
  CoreHarness core;
  core.Hello("a");
  for (const char* id : {"1", "2", "3", "4"}) {
    core.Submit(id, CoreHarness::Spec(1, 0, 3));
    core.Advance(absl::Milliseconds(100));
  }
  ASSERT_EQ(ScheduledReason(core, "4"), "WaitsForEarlierJob");
  core.Apply(CancelJob{9, "1", absl::ZeroDuration()});
  v1::MemberMessage released;
  released.mutable_released()->mutable_job()->set_job_id("1");
  released.mutable_released()->mutable_job()->set_epoch(1);
  core.Say(1, released);
  ASSERT_EQ(core.phase("2"), v1::JOB_PHASE_STARTING);
  for (const Action& action : core.last) {
    const auto* written = std::get_if<PersistJob>(&action);
    if (written != nullptr) {
      EXPECT_NE(written->job.job_id(), "4");
    }
  }
}

TEST(CoreQueueTest, SubmitIsIdempotentByIdAndSpec) {
  CoreHarness core;
  JobSpec spec = CoreHarness::Spec(1, 0, 3);
  core.Submit("job", spec);
  EXPECT_TRUE(core.last_answer().ok());
  spec.model.vocabulary = 0;  // As a client repeats it.
  core.Submit("job", spec);
  EXPECT_TRUE(core.last_answer().ok());
  spec.training.steps = 4;
  core.Submit("job", spec);
  EXPECT_EQ(core.last_answer().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(core.job("job").status().total_steps(), 3);
}

TEST(CoreQueueTest, CancelsQueuedJobsAtOnceAndRepeatsAreHarmless) {
  CoreHarness core;
  core.Submit("job", CoreHarness::Spec(1, 0, 3));
  core.Apply(CancelJob{2, "job", absl::Seconds(30)});
  EXPECT_EQ(core.phase("job"), v1::JOB_PHASE_CANCELLED);
  const size_t events = core.events.size();
  core.Apply(CancelJob{3, "job", absl::Seconds(30)});
  EXPECT_TRUE(core.last_answer().ok());
  EXPECT_EQ(core.events.size(), events);
  core.Apply(CancelJob{4, "nothing", absl::Seconds(30)});
  EXPECT_EQ(core.last_answer().code(), absl::StatusCode::kNotFound);
}

JobSpec SavingTo(const std::string& directory) {
  JobSpec spec = CoreHarness::Spec(1, 0, 3);
  spec.checkpoint.directory = directory;
  return spec;
}

TEST(CoreQueueTest, NoTwoJobsShareACheckpointDirectory) {
  CoreHarness core;
  core.Submit("first", SavingTo("/disk/here"));
  core.Submit("without", CoreHarness::Spec(1, 0, 3));
  core.Submit("also-without", CoreHarness::Spec(1, 0, 3));
  EXPECT_TRUE(core.last_answer().ok());
  core.Submit("second", SavingTo("/disk/here"));
  EXPECT_EQ(core.last_answer().code(), absl::StatusCode::kAlreadyExists);
  EXPECT_THAT(std::string(core.last_answer().message()),
              HasSubstr("checkpoint.directory: /disk/here is that of job \"first\""));
  EXPECT_FALSE(core.knows("second"));
  core.Submit("first", SavingTo("/disk/here"));  // The same again.
  EXPECT_TRUE(core.last_answer().ok());

  // By another name, and though it would continue.
  JobSpec resuming = SavingTo("/link");
  resuming.checkpoint.resume = true;
  core.Apply(SubmitJob{7, "second", resuming, "/disk/here"});
  EXPECT_EQ(core.last_answer().code(), absl::StatusCode::kAlreadyExists);
  // A paced job writes none.
  resuming.paced.profile = "a profile";
  core.Apply(SubmitJob{8, "paced", resuming, "/disk/here"});
  EXPECT_TRUE(core.last_answer().ok());
  core.Apply(CancelJob{9, "paced", absl::ZeroDuration()});

  core.Apply(CancelJob{10, "first", absl::ZeroDuration()});
  core.Submit("second", SavingTo("/disk/here"));
  EXPECT_TRUE(core.last_answer().ok());
}

StoredJob Stored(const std::string& id, v1::JobPhase phase) {
  StoredJob stored;
  stored.job.set_job_id(id);
  *stored.job.mutable_spec() = ToProto(CoreHarness::Spec(1, 0, 3));
  stored.job.mutable_status()->set_phase(phase);
  stored.job.mutable_status()->set_epoch(4);
  stored.last_sequence = 9;
  return stored;
}

TEST(CoreQueueTest, TheOldestJobsThatHaveEndedGo) {
  CoreOptions options;
  options.ended_jobs = 2;
  CoreHarness core(options);
  Recover recover;
  StoredJob old;
  old.job.set_job_id("old");
  *old.job.mutable_spec() = ToProto(CoreHarness::Spec(1, 0, 3));
  old.job.mutable_status()->set_phase(v1::JOB_PHASE_SUCCEEDED);
  *old.job.mutable_end_time() = ToProto(core.now() - absl::Hours(1));
  recover.jobs.push_back(old);
  core.Apply(recover);
  for (const char* id : {"first", "second", "third"}) {
    core.Advance(absl::Seconds(1));
    core.Submit(id, CoreHarness::Spec(1, 0, 3));
  }
  core.Apply(CancelJob{2, "third", absl::ZeroDuration()});
  EXPECT_TRUE(core.knows("old"));
  core.Advance(absl::Seconds(1));
  core.Apply(CancelJob{3, "first", absl::ZeroDuration()});
  EXPECT_FALSE(core.knows("old"));
  core.Advance(absl::Seconds(1));
  core.Apply(CancelJob{4, "second", absl::ZeroDuration()});
  EXPECT_FALSE(core.knows("third")) << "it ended before the other two";
  EXPECT_TRUE(core.knows("first"));
  EXPECT_TRUE(core.knows("second"));
  // What the event wrote of the job comes before its end.
  bool deleted = false;
  for (const Action& action : core.last) {
    if (const auto* gone = std::get_if<DeleteJob>(&action)) deleted |= gone->job_id == "third";
  }
  EXPECT_TRUE(deleted);
  core.Submit("third", CoreHarness::Spec(1, 0, 4));
  EXPECT_TRUE(core.last_answer().ok()) << "its id is free again";
}

TEST(CoreQueueTest, JobsThatEndedLongAgoGo) {
  CoreOptions options;
  options.ended_ttl = absl::Minutes(1);
  CoreHarness core(options);
  core.Submit("job", CoreHarness::Spec(1, 0, 3));
  core.Submit("queued", CoreHarness::Spec(1, 0, 3));
  core.Apply(CancelJob{2, "job", absl::ZeroDuration()});
  core.Advance(absl::Minutes(1));
  core.Apply(Tick{});
  EXPECT_TRUE(core.knows("job"));
  core.Advance(absl::Seconds(1));
  core.Apply(Tick{});
  EXPECT_FALSE(core.knows("job"));
  EXPECT_TRUE(core.knows("queued"));
  ASSERT_FALSE(core.last.empty());
  EXPECT_EQ(std::get<DeleteJob>(core.last[0]).job_id, "job");
}

// Its front end has seen the job and so has not looked up the vocabulary; then the job has gone.
TEST(CoreQueueTest, ASubmissionThatCrossesItsJobsEndIsToBeMadeAgain) {
  CoreHarness core;
  JobSpec spec = CoreHarness::Spec(1, 0, 3);
  spec.model.vocabulary = 0;
  core.Submit("gone", spec);
  EXPECT_EQ(core.last_answer().code(), absl::StatusCode::kUnavailable);
  EXPECT_THAT(core.last_answer().message(), HasSubstr("\"gone\""));
  EXPECT_FALSE(core.knows("gone"));
}

TEST(CoreQueueTest, RecoversJobsAndFreesMembersOfOldEpochs) {
  CoreHarness core;
  StoredJob running = Stored("running", v1::JOB_PHASE_RUNNING);
  running.job.mutable_status()->set_checkpoint("checkpoints/step-2");
  StoredJob done = Stored("done", v1::JOB_PHASE_SUCCEEDED);
  *done.job.mutable_end_time() = ToProto(core.now());
  core.Apply(Recover{{running, done}});
  EXPECT_EQ(core.phase("running"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(core.phase("done"), v1::JOB_PHASE_SUCCEEDED);
  EXPECT_EQ(core.job("running").status().epoch(), 5u);
  EXPECT_EQ(core.job("running").status().restarts(), 0);
  EXPECT_EQ(FindCondition(core.job("running").status(), "Ready")->reason(), "CoordinatorRestarted");
  ASSERT_FALSE(core.events.empty());
  EXPECT_EQ(core.events.front().sequence(), 10);

  MemberHello hello;
  hello.session = 50;
  hello.hello.set_member_id("a");
  hello.hello.set_role(v1::MEMBER_ROLE_MODEL);
  hello.hello.mutable_current()->set_job_id("running");
  hello.hello.mutable_current()->set_epoch(4);
  core.Apply(hello);
  const auto releases = core.Sent(50, Message::kRelease);
  ASSERT_EQ(releases.size(), 1u);
  EXPECT_TRUE(releases[0].release().abort());
  EXPECT_EQ(releases[0].release().job().epoch(), 4u);
  EXPECT_TRUE(core.Sent(50, Message::kPrepare).empty());
  v1::MemberMessage released;
  *released.mutable_released()->mutable_job() = hello.hello.current();
  core.Apply(MemberSaid{50, "a", released});
  const auto prepares = core.Sent(50, Message::kPrepare);
  ASSERT_EQ(prepares.size(), 1u);
  EXPECT_TRUE(prepares[0].prepare().restore());
  EXPECT_EQ(prepares[0].prepare().job().epoch(), 5u);
}

TEST(CoreQueueTest, RecoveredJobsKeepTheirCheckpointDirectories) {
  CoreHarness core;
  StoredJob running = Stored("running", v1::JOB_PHASE_QUEUED);
  *running.job.mutable_spec() = ToProto(SavingTo("/link"));
  running.checkpoint_place = "/disk/here";
  StoredJob done = Stored("done", v1::JOB_PHASE_SUCCEEDED);
  *done.job.mutable_spec() = ToProto(SavingTo("/disk/there"));
  core.Apply(Recover{{running, done}});
  core.Submit("second", SavingTo("/disk/here"));
  EXPECT_EQ(core.last_answer().code(), absl::StatusCode::kAlreadyExists);
  core.Submit("second", SavingTo("/disk/there"));
  EXPECT_TRUE(core.last_answer().ok());
}

TEST(CoreQueueTest, RecoversACancelThatWasUnderWay) {
  CoreHarness core;
  StoredJob stored = Stored("job", v1::JOB_PHASE_RUNNING);
  SetCondition(stored.job.mutable_status(), "Cancelling", true, "CancelRequested", "", core.now());
  core.Apply(Recover{{stored}});
  EXPECT_EQ(core.phase("job"), v1::JOB_PHASE_CANCELLED);
}

}  // namespace
}  // namespace rally
