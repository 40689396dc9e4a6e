// MemberRunner: what a member does with its jobs: workers/job_runner.h and the members behind it,
// in simulated time and with a model of weights for a trainer.
//
// It takes messages at once and works on them one after another, as the real runner's thread: what
// it has begun goes on although an abort, a pause or the end of its session comes meanwhile. It
// meets the other ranks of its epoch in the data plane.
//
// One thread. All in RunnerSetup is borrowed and outlives it.
#ifndef RALLY_TESTS_SIMULATION_MEMBER_RUNNER_H_
#define RALLY_TESTS_SIMULATION_MEMBER_RUNNER_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <absl/status/status.h>

#include "rally/v1/cluster.pb.h"
#include "tests/simulation/data_plane.h"
#include "tests/simulation/job_weights.h"
#include "tests/simulation/world.h"

namespace rally::simulation {

struct RunnerSetup {
  World* world = nullptr;
  SimulatedDisk* disk = nullptr;
  DataPlane* data_plane = nullptr;
  Process* process = nullptr;
  v1::MemberRole role = v1::MEMBER_ROLE_UNSPECIFIED;
  std::string name;  // For traces.
  std::function<void(v1::MemberMessage)> say;
};

class MemberRunner {
 public:
  explicit MemberRunner(const RunnerSetup& setup)
      : setup_(setup), world_(*setup.world), process_(*setup.process) {}
  virtual ~MemberRunner() = default;

  static std::unique_ptr<MemberRunner> Make(const RunnerSetup& setup);

  void Handle(const v1::CoordinatorMessage& message);
  std::optional<v1::JobEpoch> held() const;
  // The process is gone: nobody meets it any more.
  void Vanish() { LeaveMeeting(); }

 protected:
  struct Held {
    v1::JobEpoch epoch;
    bool aborted = false;
  };

  // Whether a message of `epoch` concerns what is held.
  virtual bool Concerns(const Held& held, const v1::JobEpoch& epoch) const;
  // Whether the commit of `round` is awaited.
  virtual bool Takes(int64_t round) const { return awaited_commit_ == round; }

  std::optional<int64_t> awaited_commit_;  // Round.

 private:
  struct Command {
    v1::CoordinatorMessage message;
    std::shared_ptr<Held> held;
  };

  void TakeHold(const v1::CoordinatorMessage& message);
  void BeginRelease(const v1::CoordinatorMessage& message);
  void Abort(Held* held);

  // The runner's thread: one thing at a time, each ends in Finish.
  void Enqueue(const v1::CoordinatorMessage& message, std::shared_ptr<Held> held);
  void Next();
  void Finish();
  void Execute(const Command& command);
  void Begin();
  void Connect();
  void BecomeReady();
  void RunReadyPlans();
  void EndRound();
  void Commit(const v1::Commit& commit);
  void Answer(v1::Committed committed);
  void Fail(const absl::Status& status);
  void LetGo(const v1::JobEpoch& epoch);
  void DropMember();

  void Meet(int64_t round, int32_t ranks, std::function<void()> then);
  void LeaveMeeting();
  // An error by chance; OK mostly.
  absl::Status Accident();
  absl::Duration Work(absl::Duration longest);
  absl::Duration DiskTime();
  bool is_worker() const { return setup_.role == v1::MEMBER_ROLE_MODEL; }

  const RunnerSetup setup_;
  World& world_;
  Process& process_;

  std::shared_ptr<Held> held_;
  std::deque<Command> commands_;
  bool busy_ = false;

  // The epoch that is worked on.
  std::shared_ptr<Held> working_;
  v1::Prepare assignment_;
  bool prepared_ = false;
  bool connected_ = false;
  bool failed_ = false;
  int64_t next_round_ = 0;
  std::deque<v1::Plan> plans_;
  JobWeights weights_;
  JobWeights reduced_;  // What a commit makes of them.
  std::optional<DataPlane::Meeting> meeting_;
  uint64_t meetings_ = 0;  // Counts, so that a deadline knows its own.
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_MEMBER_RUNNER_H_
