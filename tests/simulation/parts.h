// Parts: what a simulation is made of that a test may exchange to plant a bug: the core, the order
// in which the shell does its actions, and the members.
#ifndef RALLY_TESTS_SIMULATION_PARTS_H_
#define RALLY_TESTS_SIMULATION_PARTS_H_

#include <functional>
#include <memory>
#include <vector>

#include <absl/time/time.h>

#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/event.h"
#include "tests/simulation/member_runner.h"

namespace rally::simulation {

// The seam around the core.
class CorePort {
 public:
  virtual ~CorePort() = default;
  virtual std::vector<Action> Apply(const Event& event, absl::Time now) = 0;
  virtual const CoordinatorCore& core() const = 0;

  static std::unique_ptr<CorePort> Make(const CoreOptions& options);
};

// What must survive first, then what others see: as the coordinator's shell does it.
void PersistFirst(std::vector<Action>* actions);

struct Parts {
  std::function<std::unique_ptr<CorePort>(const CoreOptions&)> make_core = CorePort::Make;
  std::function<void(std::vector<Action>*)> arrange = PersistFirst;
  std::function<std::unique_ptr<MemberRunner>(const RunnerSetup&)> make_runner = MemberRunner::Make;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_PARTS_H_
