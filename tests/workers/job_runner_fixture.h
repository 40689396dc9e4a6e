// JobRunnerTest: one member led through a job by a scripted coordinator: the real runner, trainer
// and attention server, a job of one worker.
//
// The test is the coordinator: what it tells the member returns at once, Answer waits for what the
// member says. Threads: the test's alone.
#ifndef RALLY_TESTS_WORKERS_JOB_RUNNER_FIXTURE_H_
#define RALLY_TESTS_WORKERS_JOB_RUNNER_FIXTURE_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include "common/dataset_writer.h"
#include "proto/convert.h"
#include "tests/common/temp_directory.h"
#include "tests/model/plan_fixture.h"
#include "workers/attention/attention_kernel.h"
#include "workers/job_runner.h"

namespace rally::testing {

class JobRunnerTest : public ::testing::Test {
 protected:
  static constexpr absl::Duration kPatience = absl::Seconds(30);
  static constexpr int64_t kSteps = 3;

  JobRunnerTest() {
    corpus_.lengths = {60, 30, 45, 64, 20, 50};
    spec_ = TinyJob();
    spec_.training.steps = kSteps;
    spec_.data.path = directory_.path("data");
    spec_.checkpoint.directory = directory_.path("checkpoints");
    WriteDataset();
    kernel_ = *MakeCpuAttentionKernel({.threads = 1});
    resources_.kernel = kernel_.get();
    resources_.pool = &pool_;
    resources_.threads = 1;
    resources_.advertise_host = "127.0.0.1";
    resources_.phase_timeout = kPatience;
    StartRunner();
  }

  void StartRunner() {
    runner_ = std::make_unique<JobRunner>(v1::MEMBER_ROLE_MODEL, resources_, &outbox_);
  }

  void WriteDataset() {
    DatasetInfo info;
    info.vocabulary = corpus_.vocabulary;
    info.tokenizer = "bytes";
    auto writer = DatasetWriter::Create(spec_.data.path, info);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (size_t source = 0; source < corpus_.lengths.size(); ++source) {
      std::vector<int32_t> tokens(corpus_.lengths[source] - 1);
      for (size_t i = 0; i < tokens.size(); ++i) {
        tokens[i] = corpus_.TokenAt(static_cast<int64_t>(source), static_cast<int64_t>(i));
      }
      ASSERT_TRUE((*writer)->Add(tokens).ok());
    }
    ASSERT_TRUE((*writer)->Finish().ok());
  }

  v1::JobEpoch Epoch(uint32_t epoch) const {
    v1::JobEpoch result;
    result.set_job_id("job");
    result.set_epoch(epoch);
    return result;
  }

  void Prepare(uint32_t epoch, bool restore = false, int64_t checkpoint_step = 0) {
    v1::CoordinatorMessage message;
    message.mutable_prepare()->set_checkpoint_step(checkpoint_step);
    *message.mutable_prepare()->mutable_job() = Epoch(epoch);
    *message.mutable_prepare()->mutable_spec() = ToProto(spec_);
    message.mutable_prepare()->set_ranks(1);
    message.mutable_prepare()->set_restore(restore);
    runner_->Handle(message);
  }
  // To this worker and, if an address is given, an attention server. Round 0 is taken up again, if
  // it was begun.
  void Connect(uint32_t epoch, const v1::Prepared& prepared, const std::string& server = "") {
    v1::CoordinatorMessage message;
    *message.mutable_connect()->mutable_job() = Epoch(epoch);
    message.mutable_connect()->add_transport_addresses(prepared.transport_address());
    if (!server.empty()) message.mutable_connect()->add_transport_addresses(server);
    message.mutable_connect()->set_resumed_round(0);
    runner_->Handle(message);
  }
  DataPosition SendPlan(uint32_t epoch, int64_t round, int64_t step, const DataPosition& position,
                        PlanKind kind = PlanKind::kTrain, int32_t servers = 0) {
    JobSpec spec = spec_;
    spec.attention.dedicated = servers;
    std::shared_ptr<Plan> plan = MakePlan(spec, corpus_, step, position);
    plan->round = round;
    plan->kind = kind;
    v1::CoordinatorMessage message;
    *message.mutable_plan()->mutable_job() = Epoch(epoch);
    *message.mutable_plan()->mutable_plan() = ToProto(*plan);
    runner_->Handle(message);
    return plan->next_position;
  }
  void Commit(uint32_t epoch, int64_t round, bool checkpoint) {
    v1::CoordinatorMessage message;
    *message.mutable_commit()->mutable_job() = Epoch(epoch);
    message.mutable_commit()->set_round(round);
    message.mutable_commit()->set_checkpoint(checkpoint);
    runner_->Handle(message);
  }
  void Release(uint32_t epoch, bool abort) {
    v1::CoordinatorMessage message;
    *message.mutable_release()->mutable_job() = Epoch(epoch);
    message.mutable_release()->set_abort(abort);
    message.mutable_release()->set_reason("the test says so");
    runner_->Handle(message);
  }

  v1::MemberMessage Answer() {
    return outbox_.Take(absl::Now() + kPatience).value_or(v1::MemberMessage());
  }

  // From Prepare to Ready; the step at which training stands.
  int64_t BringUp(uint32_t epoch, bool restore = false) {
    Prepare(epoch, restore);
    const v1::MemberMessage prepared = Answer();
    EXPECT_TRUE(prepared.has_prepared()) << prepared.DebugString();
    Connect(epoch, prepared.prepared());
    const v1::MemberMessage ready = Answer();
    EXPECT_TRUE(ready.has_ready()) << ready.DebugString();
    return ready.ready().step();
  }

  // Rounds from `step + 1` to the last; the weights' checksum.
  std::string TrainFrom(uint32_t epoch, int64_t step, DataPosition position) {
    std::string checksum;
    for (int64_t round = 0; step + round < kSteps; ++round) {
      position = SendPlan(epoch, round, step + round + 1, position);
      const v1::MemberMessage done = Answer();
      EXPECT_EQ(done.round_done().round(), round) << done.DebugString();
      EXPECT_GT(done.round_done().loss(), 0.0);
      EXPECT_GT(done.round_done().attention_pairs(), 0);
      Commit(epoch, round, /*checkpoint=*/false);
      const v1::MemberMessage committed = Answer();
      EXPECT_EQ(committed.committed().step(), step + round + 1) << committed.DebugString();
      checksum = committed.committed().weights_checksum();
      EXPECT_EQ(checksum.empty(), step + round + 1 < kSteps);
    }
    return checksum;
  }

  TempDirectory directory_;
  Corpus corpus_;
  JobSpec spec_;
  BufferPool pool_;
  std::unique_ptr<AttentionKernel> kernel_;
  MemberResources resources_;
  Outbox outbox_;  // Log lines are not forwarded to it here.
  std::unique_ptr<JobRunner> runner_;
};

}  // namespace rally::testing

#endif  // RALLY_TESTS_WORKERS_JOB_RUNNER_FIXTURE_H_
