// The core's changes of a running job's attention servers.
#include <string>
#include <variant>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/coordinator/conditions.h"
#include "tests/services/core_harness.h"

namespace rally {
namespace {

using testing::HasSubstr;
using Message = v1::CoordinatorMessage;

constexpr auto kAttention = v1::MEMBER_ROLE_ATTENTION;

class CorePoolTest : public testing::Test {
 protected:
  // Two workers, two servers, and the plans of two rounds sent.
  void Begin(bool in_place = false) {
    a_ = core_.Hello("a");
    b_ = core_.Hello("b");
    s_ = core_.Hello("s", kAttention);
    t_ = core_.Hello("t", kAttention);
    JobSpec spec = CoreHarness::Spec(2, 2, 9);
    spec.attention.in_place = in_place;
    core_.Submit("job", spec);
    core_.Start({a_, b_, s_, t_}, "job", 1);
    Plan();
    ASSERT_EQ(core_.Sent(a_, Message::kPlan).size(), 2u);
  }
  void Plan() {
    while (core_.AnswerPlan()) {
    }
  }
  void SayStanding(SessionId session, uint32_t epoch, int64_t round, int64_t collected,
                   bool complete = false) {
    v1::MemberMessage message;
    v1::Prepared* prepared = message.mutable_prepared();
    prepared->mutable_job()->set_job_id("job");
    prepared->mutable_job()->set_epoch(epoch);
    prepared->set_transport_address("again");
    prepared->mutable_standing()->set_round(round);
    prepared->mutable_standing()->set_begun(true);
    prepared->mutable_standing()->set_collected(collected);
    prepared->mutable_standing()->set_complete(complete);
    core_.Say(session, message);
  }
  void SayTrouble(SessionId session, uint32_t epoch, bool failed) {
    v1::MemberMessage message;
    v1::Trouble* trouble = message.mutable_trouble();
    trouble->mutable_job()->set_job_id("job");
    trouble->mutable_job()->set_epoch(epoch);
    trouble->set_failed(failed);
    core_.Say(session, message);
  }
  size_t Count(SessionId session, Message::MessageCase kind) const {
    return core_.Sent(session, kind).size();
  }
  v1::CoordinatorMessage Last(SessionId session, Message::MessageCase kind) const {
    return core_.Sent(session, kind).back();
  }
  bool Holds(const char* type) const {
    const v1::Condition* condition = FindCondition(core_.job("job").status(), type);
    return condition != nullptr && condition->status() == v1::CONDITION_STATUS_TRUE;
  }
  void ExpectUnbroken() const {
    EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_RUNNING);
    EXPECT_EQ(core_.job("job").status().restarts(), 0);
    EXPECT_EQ(Count(a_, Message::kRelease), 0u);
  }

  CoreHarness core_;
  SessionId a_ = 0, b_ = 0, s_ = 0, t_ = 0;
};

TEST_F(CorePoolTest, ARoundGoesOnWithoutALostServer) {
  Begin();
  core_.Lose(s_);
  ExpectUnbroken();
  EXPECT_EQ(core_.job("job").status().epoch(), 2u);
  for (const SessionId session : {a_, b_, t_}) {
    const v1::Regroup regroup = Last(session, Message::kRegroup).regroup();
    EXPECT_EQ(regroup.job().epoch(), 1u);
    EXPECT_EQ(regroup.epoch(), 2u);
    EXPECT_EQ(regroup.ranks(), 3);
  }
  EXPECT_EQ(Last(t_, Message::kRegroup).regroup().rank(), 2);

  SayStanding(a_, 2, 0, 3);
  SayStanding(b_, 2, 0, 5);
  EXPECT_EQ(core_.pending_plans(), 0u);
  core_.SayPrepared(t_, "job", 2);
  ASSERT_EQ(core_.pending_plans(), 1u);
  EXPECT_EQ(core_.next_plan().key.round, 0);
  ASSERT_NE(core_.next_plan().resumed, nullptr);
  EXPECT_EQ(core_.next_plan().dedicated, 1);
  EXPECT_EQ(Count(a_, Message::kConnect), 1u);
  core_.AnswerPlan();
  EXPECT_EQ(Last(a_, Message::kConnect).connect().resumed_round(), 0);
  EXPECT_EQ(Last(a_, Message::kConnect).connect().transport_addresses_size(), 3);
  const v1::PlanMessage resumed = Last(b_, Message::kPlan).plan();
  EXPECT_EQ(resumed.plan().round(), 0);
  EXPECT_THAT(resumed.collected(), testing::ElementsAre(3, 5));

  // The round after is planned anew, from where it began.
  ASSERT_EQ(core_.pending_plans(), 1u);
  EXPECT_EQ(core_.next_plan().key.round, 1);
  EXPECT_EQ(core_.next_plan().resumed, nullptr);
  EXPECT_EQ(core_.next_plan().position.index, 1);
  core_.SayRoundDone(a_, "job", 2, 0);
  core_.SayRoundDone(b_, "job", 2, 0);
  ASSERT_EQ(Count(a_, Message::kCommit), 1u) << "servers' reports are not waited for";
  EXPECT_EQ(Last(a_, Message::kCommit).commit().job().epoch(), 2u);
  core_.SayCommitted(a_, "job", 2, 0);
  core_.SayCommitted(b_, "job", 2, 0);
  EXPECT_EQ(core_.job("job").status().step(), 1);
}

TEST_F(CorePoolTest, ProcessesAreThoseThatHoldTheJobNow) {
  Begin();
  const auto list = [this](const std::string& job) {
    core_.Apply(ListProcesses{9, job});
    const auto* answer = std::get_if<AnswerProcesses>(&core_.last.at(0));
    EXPECT_EQ(core_.last.size(), 1u);
    EXPECT_EQ(answer->request, 9u);
    return answer->answer;
  };
  const auto all = list("job");
  ASSERT_TRUE(all.ok()) << all.status();
  ASSERT_EQ(all->processes_size(), 4);
  EXPECT_EQ(all->processes(0).role(), v1::PROCESS_ROLE_WORKER);
  EXPECT_EQ(all->processes(1).member_id(), "b");
  EXPECT_EQ(all->processes(3).role(), v1::PROCESS_ROLE_ATTENTION_SERVER);
  EXPECT_EQ(all->processes(3).host(), "here");
  EXPECT_EQ(all->processes(3).process_id(), 1);
  EXPECT_EQ(all->processes(3).rank(), 3);
  core_.Lose(s_);
  const auto left = list("job");
  ASSERT_EQ(left->processes_size(), 3);
  EXPECT_EQ(left->processes(2).member_id(), "t");
  EXPECT_EQ(left->processes(2).rank(), 2);
  core_.Submit("queued", CoreHarness::Spec(2, 2, 9));
  EXPECT_EQ(list("queued")->processes_size(), 0);
  EXPECT_EQ(list("nothing").status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CorePoolTest, AnIdleServerTakesTheLostOnesPlaceAtOnce) {
  Begin();
  const SessionId u = core_.Hello("u", kAttention);
  core_.Lose(s_);
  const v1::Prepare prepare = Last(u, Message::kPrepare).prepare();
  EXPECT_EQ(prepare.job().epoch(), 2u);
  EXPECT_EQ(prepare.rank(), 3);
  EXPECT_EQ(prepare.ranks(), 4);
  EXPECT_TRUE(Holds("AttentionPoolComplete"));
}

TEST_F(CorePoolTest, AServerThatComesLaterJoinsWhenTheRoundEnds) {
  Begin();
  core_.Lose(s_);
  SayStanding(a_, 2, 0, 3);
  SayStanding(b_, 2, 0, 3);
  core_.SayPrepared(t_, "job", 2);
  Plan();
  EXPECT_FALSE(Holds("AttentionPoolComplete"));
  const SessionId u = core_.Hello("u", kAttention);
  EXPECT_EQ(Count(u, Message::kPrepare), 0u);
  for (const SessionId session : {a_, b_}) core_.SayRoundDone(session, "job", 2, 0);
  for (const SessionId session : {a_, b_}) core_.SayCommitted(session, "job", 2, 0);
  ASSERT_EQ(Count(u, Message::kPrepare), 1u);
  EXPECT_EQ(Last(a_, Message::kRegroup).regroup().epoch(), 3u);
  ExpectUnbroken();
}

TEST_F(CorePoolTest, ARoundThatWaitedForTheLostServersReportAloneIsCommitted) {
  Begin();
  for (const SessionId session : {a_, b_, t_}) core_.SayRoundDone(session, "job", 1, 0);
  EXPECT_EQ(Count(a_, Message::kCommit), 0u);
  core_.Lose(s_);
  EXPECT_EQ(Count(a_, Message::kCommit), 1u);
  for (const SessionId session : {a_, b_}) core_.SayCommitted(session, "job", 2, 0);
  EXPECT_EQ(core_.job("job").status().step(), 1);
  // Nobody has begun the next round: nothing is resumed.
  for (const SessionId session : {a_, b_}) SayStanding(session, 2, 0, 0, /*complete=*/true);
  core_.SayPrepared(t_, "job", 2);
  EXPECT_FALSE(Last(a_, Message::kConnect).connect().has_resumed_round());
  EXPECT_EQ(core_.next_plan().key.round, 1);
  EXPECT_EQ(core_.next_plan().resumed, nullptr);
}

TEST_F(CorePoolTest, WhatWasSaidBeforeTheChangeWasHeardOfCounts) {
  Begin();
  core_.Lose(s_);
  for (const SessionId session : {a_, b_}) core_.SayRoundDone(session, "job", 1, 0);
  EXPECT_EQ(Count(a_, Message::kCommit), 1u);
  for (const SessionId session : {a_, b_}) core_.SayCommitted(session, "job", 1, 0);
  EXPECT_EQ(core_.job("job").status().step(), 1);
}

TEST_F(CorePoolTest, AChangeOvertakesAnother) {
  Begin();
  core_.Lose(s_);
  SayStanding(a_, 2, 0, 3);
  core_.Lose(t_);
  EXPECT_EQ(Last(a_, Message::kRegroup).regroup().job().epoch(), 2u);
  EXPECT_EQ(Last(a_, Message::kRegroup).regroup().epoch(), 3u);
  SayStanding(b_, 2, 0, 3);  // Of a pool that has changed again.
  const SessionId u = core_.Hello("u", kAttention);
  SayStanding(a_, 4, 0, 3);
  SayStanding(b_, 4, 0, 3);
  EXPECT_EQ(Count(a_, Message::kConnect), 1u);
  core_.SayPrepared(u, "job", 4);
  Plan();
  EXPECT_EQ(Last(a_, Message::kConnect).connect().job().epoch(), 4u);
  ExpectUnbroken();
}

TEST_F(CorePoolTest, ALeavingServerServesTheRoundToItsEnd) {
  Begin();
  v1::MemberMessage leaving;
  leaving.mutable_leaving();
  core_.Say(s_, leaving);
  EXPECT_EQ(Count(s_, Message::kRelease), 0u);
  for (const SessionId session : {a_, b_, s_, t_}) core_.SayRoundDone(session, "job", 1, 0);
  for (const SessionId session : {a_, b_}) core_.SayCommitted(session, "job", 1, 0);
  EXPECT_EQ(Count(s_, Message::kRelease), 1u);
  EXPECT_EQ(Last(t_, Message::kRegroup).regroup().rank(), 2);
  ExpectUnbroken();
}

TEST_F(CorePoolTest, AnEmptyPoolIsWaitedFor) {
  Begin();
  core_.Lose(s_);
  core_.Lose(t_);
  SayStanding(a_, 3, 0, 3);
  SayStanding(b_, 3, 0, 3);
  EXPECT_TRUE(Holds("AttentionPoolEmpty"));
  EXPECT_EQ(Count(a_, Message::kConnect), 1u);
  core_.Pass(absl::Minutes(20), {a_, b_});  // For longer than a round may take.
  ExpectUnbroken();
  const SessionId u = core_.Hello("u", kAttention);
  EXPECT_FALSE(Holds("AttentionPoolEmpty"));
  EXPECT_EQ(Last(u, Message::kPrepare).prepare().ranks(), 3);
}

TEST_F(CorePoolTest, WorkersServeInPlaceWhenTheJobLetsThem) {
  Begin(/*in_place=*/true);
  core_.Lose(s_);
  core_.Lose(t_);
  SayStanding(a_, 3, 0, 3);
  SayStanding(b_, 3, 0, 3);
  EXPECT_FALSE(Holds("AttentionPoolEmpty"));
  Plan();
  EXPECT_EQ(Last(a_, Message::kConnect).connect().transport_addresses_size(), 2);
  EXPECT_EQ(Last(a_, Message::kConnect).connect().resumed_round(), 0);
}

TEST_F(CorePoolTest, ASilentServerIsLostWhenSomethingIsMissed) {
  Begin();
  core_.Pass(absl::Seconds(2), {a_, b_, t_});
  EXPECT_EQ(core_.job("job").status().epoch(), 1u);
  SayTrouble(a_, 1, /*failed=*/false);
  EXPECT_EQ(core_.job("job").status().epoch(), 2u);
  EXPECT_THAT(Last(a_, Message::kRegroup).regroup().reason(), HasSubstr("rank 2 (s)"));
  ExpectUnbroken();
}

TEST_F(CorePoolTest, ASilentServerIsLostWhenOnlyItsReportIsMissed) {
  Begin();
  for (const SessionId session : {a_, t_}) core_.SayRoundDone(session, "job", 1, 0);
  core_.Pass(absl::Seconds(2), {a_, b_, t_});
  EXPECT_EQ(core_.job("job").status().epoch(), 1u) << "a worker computes, and misses nothing";
  core_.SayRoundDone(b_, "job", 1, 0);
  core_.Apply(Tick{});
  EXPECT_EQ(core_.job("job").status().epoch(), 2u);
  EXPECT_EQ(Count(a_, Message::kCommit), 1u);
  ExpectUnbroken();
}

TEST_F(CorePoolTest, AServerThatIsStuckIsNotWaitedFor) {
  Begin();
  core_.Lose(s_);
  SayStanding(a_, 2, 0, 3);
  SayStanding(b_, 2, 0, 3);
  for (int i = 0; i < 11; ++i) {
    core_.Pass(absl::Milliseconds(500), {a_, b_, t_});
    EXPECT_EQ(core_.job("job").status().epoch(), i < 10 ? 2u : 3u);
  }
  ExpectUnbroken();
}

TEST_F(CorePoolTest, NobodyWasSilentWhileTheCoordinatorStoodStill) {
  Begin();
  SayTrouble(a_, 1, /*failed=*/false);
  core_.Pass(absl::Milliseconds(200));
  core_.Advance(absl::Seconds(5));
  SayTrouble(b_, 1, /*failed=*/false);  // What waited in its sockets comes in no order.
  core_.Apply(Tick{});
  EXPECT_EQ(core_.job("job").status().epoch(), 1u);
  core_.Pass(absl::Milliseconds(600), {a_, b_, t_});
  EXPECT_EQ(core_.job("job").status().epoch(), 2u);
  EXPECT_THAT(Last(a_, Message::kRegroup).regroup().reason(), HasSubstr("rank 2 (s)"));
  ExpectUnbroken();
}

// Such as one that was told of a network device that it does not have.
TEST_F(CorePoolTest, AServerThatFailsIsTakenAgainLaterAndLater) {
  Begin();
  core_.Lose(s_);
  core_.Lose(t_);
  const SessionId u = core_.Hello("u", kAttention);
  size_t prepares = 1;
  for (const int64_t seconds : {1, 2, 4, 8, 16, 32, 60, 60}) {
    EXPECT_EQ(Count(u, Message::kPrepare), prepares);
    const uint32_t epoch = core_.job("job").status().epoch();
    core_.SayFailed(u, "job", epoch, absl::UnavailableError("no such device"));
    core_.SayReleased(u, "job", epoch);
    core_.Pass(absl::Seconds(seconds) - absl::Milliseconds(1), {a_, b_, u});
    EXPECT_EQ(Count(u, Message::kPrepare), prepares) << seconds;
    core_.Pass(absl::Milliseconds(1), {a_, b_, u});
    EXPECT_EQ(Count(u, Message::kPrepare), ++prepares) << seconds;
  }
  ExpectUnbroken();
  // Once it has worked it is taken back as soon as it is free, such as after a kernel's hang.
  const uint32_t epoch = core_.job("job").status().epoch();
  for (const SessionId session : {a_, b_}) SayStanding(session, epoch, 0, 3);
  core_.SayPrepared(u, "job", epoch);
  Plan();
  core_.SayRoundDone(u, "job", epoch, 0);
  core_.SayFailed(u, "job", epoch, absl::DeadlineExceededError("its kernel hangs"));
  core_.SayReleased(u, "job", epoch);
  EXPECT_EQ(Count(u, Message::kPrepare), prepares + 1);
}

TEST_F(CorePoolTest, AFailedTransportIsMadeAnewAFewTimes) {
  Begin();
  for (uint32_t epoch = 1; epoch <= 5; ++epoch) {
    SayTrouble(a_, epoch, /*failed=*/true);
    SayTrouble(b_, epoch, /*failed=*/true);  // The same news.
    EXPECT_EQ(core_.job("job").status().epoch(), epoch + 1);
    for (const SessionId session : {a_, b_}) SayStanding(session, epoch + 1, 0, 3);
    for (const SessionId session : {s_, t_}) core_.SayPrepared(session, "job", epoch + 1);
    Plan();
    ExpectUnbroken();
  }
  SayTrouble(a_, 6, /*failed=*/true);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(core_.job("job").status().restarts(), 1);
}

TEST_F(CorePoolTest, ALostWorkerStillEndsTheRun) {
  Begin();
  core_.Lose(s_);
  core_.Lose(b_);
  EXPECT_EQ(core_.phase("job"), v1::JOB_PHASE_QUEUED);
  EXPECT_EQ(core_.job("job").status().epoch(), 3u);
  EXPECT_EQ(Last(a_, Message::kRelease).release().job().epoch(), 2u);
  EXPECT_EQ(Last(t_, Message::kRelease).release().job().epoch(), 2u);
}

}  // namespace
}  // namespace rally
