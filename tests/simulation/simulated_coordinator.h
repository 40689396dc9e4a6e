// SimulatedCoordinator: one process of the coordinator: the real core in a shell of the
// simulation's, which does as services/coordinator/coordinator.cc: takes what has come as one
// batch, writes what must survive in one transaction, then does what others see.
//
// It may crash at any moment and between any two actions; the store stays. Plans are made up.
//
// One thread. World, network and store are borrowed.
#ifndef RALLY_TESTS_SIMULATION_SIMULATED_COORDINATOR_H_
#define RALLY_TESTS_SIMULATION_SIMULATED_COORDINATOR_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "tests/simulation/network.h"
#include "tests/simulation/parts.h"
#include "tests/simulation/simulated_store.h"
#include "tests/simulation/world.h"

namespace rally::simulation {

class SimulatedCoordinator {
 public:
  using Answered = std::function<void(const absl::StatusOr<v1::Job>&)>;

  // Recovers from the store at once. `number` counts the coordinator's processes.
  SimulatedCoordinator(World* world, SimulatedStore* store, const Parts& parts,
                       const CoreOptions& options, int number);

  bool alive() const { return process_.alive(); }
  // Since it was started, or stood still; in the future while it does.
  absl::Time awake_since() const { return awake_since_; }
  bool has_answered() const { return waiting_.empty(); }
  const CoordinatorCore& core() const { return core_->core(); }

  std::function<void()> on_crash;

  // Takes the coordinator's end of a new connection.
  void Accept(const std::shared_ptr<Connection>& connection);
  void Submit(const std::string& job_id, const JobSpec& spec, Answered answered);
  void Cancel(const std::string& job_id, absl::Duration grace, Answered answered);

  void Pause(absl::Duration time);
  void Crash();
  // Crashes within its next batch of actions.
  void CrashAmidActions() { crash_amid_actions_ = true; }

 private:
  struct Session {
    std::shared_ptr<Connection> connection;
    std::string member_id;  // Empty before Hello.
  };

  void Post(Event event);
  void Loop();
  void Handle(const std::vector<Event>& batch);
  void Carry(std::vector<Action> actions);
  void Heard(SessionId id, v1::MemberMessage message);
  void Ended(SessionId id);
  void TickLater();
  void PlanNext();

  void Do(const AppendJobEvent& action);
  void Do(const PersistJob& action);
  void Do(const AppendLogs& /*action*/) {}
  void Do(const DeleteJob& action);
  void Do(const AnswerRequest& action);
  void Do(const AnswerProcesses& /*action*/) {}
  void Do(const SendToMember& action);
  void Do(const CloseSession& action);
  void Do(const RequestPlan& action);
  void Do(const ForgetPlans& /*action*/) {}

  World& world_;
  SimulatedStore& store_;
  const std::function<void(std::vector<Action>*)> arrange_;
  const int number_;
  absl::Time awake_since_;
  Process process_;
  std::unique_ptr<CorePort> core_;

  std::vector<Event> inbox_;
  bool awake_ = false;
  bool crash_amid_actions_ = false;
  std::set<std::string> board_;  // Jobs that front ends know of.
  SessionId last_session_ = 0;
  std::map<SessionId, Session> sessions_;
  RequestId last_request_ = 0;
  std::map<RequestId, Answered> waiting_;
  std::deque<RequestPlan> to_plan_;
  bool planning_ = false;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_SIMULATED_COORDINATOR_H_
