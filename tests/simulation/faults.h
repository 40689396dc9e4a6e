// Faults: what goes wrong in a simulation, and how often.
//
// FaultRates are chances taken where something happens; FaultInjector strikes by itself. Every seed
// has faults of some kinds only, rare or dense, so that each kind is seen alone and with others.
// In some only the coordinator, or attention servers, fail: there no job may suffer. From Quiet on
// nothing goes wrong any more, and what was broken heals.
//
// One thread.
#ifndef RALLY_TESTS_SIMULATION_FAULTS_H_
#define RALLY_TESTS_SIMULATION_FAULTS_H_

#include <vector>

#include <absl/time/time.h>

namespace rally::simulation {

struct World;

// Chances; all zero: nothing goes wrong.
struct FaultRates {
  double lose_request = 0;    // Of a client's request or its answer.
  double repeat_request = 0;  // It comes once more, later.
  double repeat_message = 0;  // Of a message of a session that says what may be said again.
  double slow_message = 0;
  double slow_plan = 0;
  double failed_plan = 0;
  double user_error = 0;  // Of a member's work.
  double machine_error = 0;
  double bad_loss = 0;      // The loss of a round is no number.
  double slow_work = 0;     // A member's work takes far longer.
  double stuck_work = 0;    // It takes longer than anybody waits.
  double slow_store = 0;    // The coordinator's.
  double slow_disk = 0;     // Of checkpoints.
  double full_disk = 0;     // The same.
  double silent_crash = 0;  // Of the coordinator: its machine goes with it.
  double lost_machine = 0;  // A worker that ends is replaced when jobs no longer wait for it.
};

// What can be struck. Each picks its victim by chance; having none is no error.
class FaultTargets {
 public:
  virtual ~FaultTargets() = default;
  virtual void CrashMember() = 0;
  virtual void StopMember() = 0;  // It leaves in peace.
  virtual void PauseMember() = 0;
  virtual void CrashServer() = 0;
  virtual void StopServer() = 0;
  virtual void PauseServer() = 0;
  virtual void BreakSession() = 0;
  virtual void CutOffMember() = 0;
  virtual void CutOffCoordinator() = 0;
  virtual void PauseCoordinator() = 0;
  virtual void CrashCoordinator() = 0;
  virtual void CrashCoordinatorAmidActions() = 0;
};

class FaultInjector {
 public:
  // Chooses what this simulation has to bear, and sets the world's rates. Both are borrowed.
  FaultInjector(World* world, FaultTargets* targets);

  // Begins to strike; stops at `quiet`.
  void Start(absl::Time quiet);

 private:
  using Strike = void (FaultTargets::*)();

  void ChooseAll();
  void ChooseHarmless();
  void ChooseLosses();
  void Wait();

  World& world_;
  FaultTargets& targets_;
  std::vector<Strike> strikes_;
  absl::Duration mean_;  // Between two.
  absl::Time quiet_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_FAULTS_H_
