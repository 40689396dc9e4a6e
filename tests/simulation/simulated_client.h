// SimulatedClient: a user who submits one job and perhaps cancels it, repeating each request until
// it is answered.
//
// One thread. What ClientSetup points to is borrowed and outlives it.
#ifndef RALLY_TESTS_SIMULATION_SIMULATED_CLIENT_H_
#define RALLY_TESTS_SIMULATION_SIMULATED_CLIENT_H_

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "scheduler/job_spec.h"
#include "tests/simulation/network.h"
#include "tests/simulation/simulated_coordinator.h"
#include "tests/simulation/world.h"

namespace rally::simulation {

struct ClientSetup {
  World* world = nullptr;
  Network* network = nullptr;
  std::string job_id;
  JobSpec spec;
  absl::Duration submit_after;
  std::optional<absl::Duration> cancel_after;  // Of the submission's acknowledgement.
  absl::Duration grace;
  std::function<SimulatedCoordinator*()> coordinator;  // Null while there is none.
};

class SimulatedClient {
 public:
  explicit SimulatedClient(const ClientSetup& setup) : setup_(setup), world_(*setup.world) {}

  void Start() {
    world_.timeline.After(setup_.submit_after, [this] { Submit(); });
  }
  // Has all its answers.
  bool done() const { return submitted_ && (cancelled_ || !setup_.cancel_after.has_value()); }

 private:
  void Submit();
  void SubmitAnother();
  void Cancel();

  const ClientSetup setup_;
  World& world_;
  bool submitted_ = false;
  bool cancelled_ = false;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_SIMULATED_CLIENT_H_
