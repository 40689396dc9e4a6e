// CoreCluster: a coordinator's core with its shell and its members, driven by bytes.
//
// Each step takes some bytes and does one thing: a request, a member that comes, goes, answers what
// it was sent or says anything at all, a plan, time, a restart from what was persisted. After every
// event the actions must keep to the core's contract (services/coordinator/event.h). One thread.
#ifndef RALLY_TESTS_FUZZ_CORE_CLUSTER_H_
#define RALLY_TESTS_FUZZ_CORE_CLUSTER_H_

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <absl/time/time.h>
#include <fuzzer/FuzzedDataProvider.h>

#include "services/coordinator/coordinator_core.h"
#include "services/planning/job_batches.h"

namespace rally::test {

class CoreCluster {
 public:
  explicit CoreCluster(FuzzedDataProvider* bytes);

  // Does one thing.
  void Step();

 private:
  // One stream of a member.
  struct Session {
    std::string member_id;
    std::deque<std::shared_ptr<const v1::CoordinatorMessage>> inbox;
  };

  void Submit();
  void Cancel();
  void Hello();
  void Lose();
  void Obey();     // One session answers its oldest message as a good member does.
  void ObeyAll();  // All do, and plans are answered, several times over.
  void Say();      // A message of the member's, its fields as the bytes say.
  void SayWire();  // Any bytes that parse.
  void AnswerPlan();
  void FailPlan();
  void Tick();
  void Restart();

  SessionId AnySession();
  std::string AnyJob();
  v1::JobEpoch AnyEpoch();
  JobSpec AnySpec();
  // What a good member answers to `message`.
  std::vector<v1::MemberMessage> Answers(const v1::CoordinatorMessage& message);
  v1::MemberMessage AnyMessage();
  void Deliver(SessionId session, const v1::MemberMessage& message);
  void Answer(const RequestPlan& request);

  void Apply(const Event& event);
  void CheckOrder(const std::vector<Action>& actions) const;
  void CheckMembers() const;
  void Do(const AppendJobEvent& action);
  void Do(const PersistJob& action);
  void Do(const AppendLogs& action);
  void Do(const DeleteJob& action);
  void Do(const AnswerRequest& action);
  void Do(const AnswerProcesses& action);
  void Do(const SendToMember& action);
  void Do(const CloseSession& action);
  void Do(const RequestPlan& action);
  void Do(const ForgetPlans& action);

  FuzzedDataProvider& bytes_;
  std::unique_ptr<CoordinatorCore> core_;
  absl::Time now_ = absl::FromUnixSeconds(1700000000);
  SessionId last_session_ = 0;
  RequestId last_request_ = 0;
  int answers_ = 0;  // To the request that is applied.
  std::map<SessionId, Session> sessions_;
  std::deque<RequestPlan> plans_;
  std::map<std::string, StoredJob> stored_;
};

}  // namespace rally::test

#endif  // RALLY_TESTS_FUZZ_CORE_CLUSTER_H_
