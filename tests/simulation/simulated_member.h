// SimulatedMember: one process of a member: its session with the coordinator, as workers/session.h
// and workers/agent.cc have it, and the runner behind it.
//
// It connects with back-off, says Hello with what it holds, heartbeats, and forgets what it had to
// say on a stream that has ended. Asked to leave, it says so and ends once it is let go, when the
// coordinator is away, or after its grace period.
//
// One thread. What MemberSetup points to is borrowed and outlives it.
#ifndef RALLY_TESTS_SIMULATION_SIMULATED_MEMBER_H_
#define RALLY_TESTS_SIMULATION_SIMULATED_MEMBER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "rally/v1/cluster.pb.h"
#include "tests/simulation/network.h"
#include "tests/simulation/parts.h"
#include "tests/simulation/world.h"

namespace rally::simulation {

struct MemberSetup {
  World* world = nullptr;
  Network* network = nullptr;
  SimulatedDisk* disk = nullptr;
  DataPlane* data_plane = nullptr;
  const Parts* parts = nullptr;
  std::string id;
  v1::MemberRole role = v1::MEMBER_ROLE_UNSPECIFIED;
  std::string host;
  int64_t process_id = 0;
  // Gives the coordinator its end of a connection; false when there is no coordinator.
  std::function<bool(const std::shared_ptr<Connection>&)> reach;
  std::function<void()> ended;  // The process has ended, of its own will.
};

class SimulatedMember {
 public:
  explicit SimulatedMember(const MemberSetup& setup);

  void Start();
  bool alive() const { return process_.alive(); }
  bool idle() const { return !runner_->held().has_value(); }
  const std::string& id() const { return setup_.id; }

  void Leave();
  void Crash(Ending ending);
  void Pause(absl::Duration time);

 private:
  void ConnectLater();
  void Connect();
  void Greet(const std::shared_ptr<Connection>& connection);
  void Heard(const std::shared_ptr<Connection>& connection, const v1::CoordinatorMessage& message);
  void StreamEnded(const Connection* connection);
  void Say(v1::MemberMessage message);
  void SayLeaving();
  void BeatLater(const std::shared_ptr<Connection>& connection, absl::Duration interval);
  void WaitForRelease(absl::Time deadline);
  void End(Ending ending);

  const MemberSetup setup_;
  World& world_;
  Process process_;
  std::unique_ptr<MemberRunner> runner_;
  std::shared_ptr<Connection> connection_;  // Null while there is none.
  bool welcomed_ = false;
  bool leaving_ = false;
  std::vector<v1::MemberMessage> outbox_;  // Until there is a welcomed stream.
  absl::Duration back_off_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_SIMULATED_MEMBER_H_
