// SimulatedCluster: machines, members, clients and the coordinator of one simulation, and what
// strikes them.
//
// What has crashed or left is started again after a while, so that no job waits for ever. Processes
// that have ended are kept to the end: what is under way may still name them.
//
// One thread.
#ifndef RALLY_TESTS_SIMULATION_SIMULATED_CLUSTER_H_
#define RALLY_TESTS_SIMULATION_SIMULATED_CLUSTER_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "scheduler/job_spec.h"
#include "tests/simulation/data_plane.h"
#include "tests/simulation/faults.h"
#include "tests/simulation/job_weights.h"
#include "tests/simulation/network.h"
#include "tests/simulation/parts.h"
#include "tests/simulation/simulated_client.h"
#include "tests/simulation/simulated_coordinator.h"
#include "tests/simulation/simulated_member.h"
#include "tests/simulation/simulated_store.h"
#include "tests/simulation/world.h"

namespace rally::simulation {

class SimulatedCluster final : public FaultTargets {
 public:
  SimulatedCluster(World* world, const Parts& parts);

  void Start();

  // Checks what must hold at any moment.
  void Check();
  // All clients have their answers, all jobs have ended and no member holds anything.
  bool AtRest() const;
  // Why it is not, for people.
  std::string Unrest() const;

  const SimulatedStore& store() const { return store_; }
  int64_t coordinator_processes() const { return static_cast<int64_t>(coordinators_.size()); }
  int64_t member_processes() const { return static_cast<int64_t>(members_.size()); }

  void CrashMember() override;
  void StopMember() override;
  void PauseMember() override;
  void CrashServer() override;
  void StopServer() override;
  void PauseServer() override;
  void BreakSession() override;
  void CutOffMember() override;
  void CutOffCoordinator() override;
  void PauseCoordinator() override;
  void CrashCoordinator() override;
  void CrashCoordinatorAmidActions() override;

 private:
  // A place for one member process after another.
  struct Seat {
    std::string name;
    v1::MemberRole role = v1::MEMBER_ROLE_UNSPECIFIED;
    std::string host;
    SimulatedMember* member = nullptr;  // Of members_; null while there is none.
    int64_t processes = 0;
  };

  void AddSeats(v1::MemberRole role, const char* prefix, int64_t count);
  JobSpec MakeUpSpec(const std::string& job_id, int64_t workers, int64_t servers);
  void LeaveForeignCheckpoint(const std::string& job_id, const std::string& directory);
  void MakeElastic(JobSpec* spec, int64_t workers);
  void AddClient(int64_t number, int64_t workers, int64_t servers);
  void StartMember(Seat* seat);
  void StartCoordinator();
  // One of those that live; null when there is none.
  SimulatedMember* AnyMember();
  SimulatedMember* AnyServer();
  void Crash(SimulatedMember* member);
  void Stop(SimulatedMember* member);
  void Pause(SimulatedMember* member);
  SimulatedCoordinator* coordinator() const;

  World& world_;
  const Parts parts_;
  CoreOptions core_options_;
  const bool containers_;  // Every process is number 1 of its machine.
  Network network_;
  SimulatedStore store_;
  SimulatedDisk disk_;
  DataPlane data_plane_;
  std::vector<Seat> seats_;
  std::vector<std::unique_ptr<SimulatedMember>> members_;
  std::vector<std::unique_ptr<SimulatedCoordinator>> coordinators_;
  std::vector<std::unique_ptr<SimulatedClient>> clients_;
  absl::Duration paused_;  // How long coordinators have stood still in all.
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_SIMULATED_CLUSTER_H_
