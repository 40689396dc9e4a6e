// MemberRunner: what a member does with its jobs: workers/job_runner.h and the members behind it,
// in simulated time and with a model of weights for a trainer.
//
// It takes messages at once and works on them one after another, as the real runner's thread: what
// it has begun goes on although an abort, a pause or the end of its session comes meanwhile.
//
// In a round all members of the pool meet in the data plane, then each collects what it is sent. A
// Regroup breaks both off: a server drops the round, a worker waits within it for the new pool.
// What workers have all collected they reduce among themselves, whatever becomes of the pool.
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
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

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
  int32_t held_rank() const { return held_ == nullptr ? 0 : held_->rank; }
  // The process is gone: nobody meets it any more.
  void Vanish() { LeaveMeeting(); }

 protected:
  struct Held {
    v1::JobEpoch epoch;
    int32_t rank = 0;
    bool aborted = false;
  };

  // Whether a message of `epoch` concerns what is held.
  virtual bool Concerns(const Held& held, const v1::JobEpoch& epoch) const;
  // Whether the commit of `round` is awaited.
  virtual bool Takes(int64_t round) const { return awaited_commit_ == round; }
  // Whether checkpoints that are there are continued from. No job here asks for it by itself.
  virtual bool Restores(const v1::Prepare& assignment) const { return assignment.restore(); }

  std::optional<int64_t> awaited_commit_;  // Round.

 private:
  struct Command {
    v1::CoordinatorMessage message;
    std::shared_ptr<Held> held;
  };
  // A round under way.
  struct Round {
    v1::PlanMessage message;
    bool complete = false;  // All is collected.
    bool reduced = false;   // With the other workers.
    absl::Status reduction;
  };
  // A worker's wait for another pool within a round.
  struct Await {
    absl::Status cause;
    bool regrouped = false;
  };
  // What the thread is blocked in.
  enum class Block { kNone, kConnecting, kExchange, kReduction };
  // A checkpoint being written, by a thread of its own.
  struct Save {
    JobWeights weights;
    bool cancelled = false;
  };

  void TakeHold(const v1::CoordinatorMessage& message);
  void ChangePool(const v1::CoordinatorMessage& message);
  void BeginRelease(const v1::CoordinatorMessage& message);
  void Abort(Held* held);

  // The runner's thread: one thing at a time, each ends in Finish.
  void Enqueue(const v1::CoordinatorMessage& message, std::shared_ptr<Held> held);
  void Next();
  void Finish();
  void Execute(const Command& command);
  void Begin();
  void Regroup(const v1::Regroup& regroup, const v1::Standing& standing);
  void Connect(const v1::Connect& connect);
  void BecomeReady();
  v1::Standing StandingBetweenRounds() const;
  void AddReport(v1::Standing* standing) const;
  void Commit(const v1::Commit& commit);
  void WriteCheckpoint();
  void CheckpointDone(const Save& save);
  void Fail(const absl::Status& status);
  void DropMember();
  void LetGo(const Command& command);

  // member_round.cc: the thread within a round.
  void RunReadyPlans();
  void Exchange();
  void Collected();
  void Reduce();
  void Reduced();
  void EndRound();
  void LeaveRound();
  void BreakExchange(const absl::Status& cause);
  void AwaitPool(const absl::Status& cause);
  void TakeAwaited(const Command& command);
  void GoOn();
  bool pool_is_broken() const { return working_->epoch.epoch() != epoch_.epoch(); }

  void Meet(Block block, int64_t name, int32_t ranks, std::function<void()> then);
  void MissedMeeting();
  void LeaveMeeting();
  // Done unless the thread is woken before.
  void Breakable(absl::Duration time, std::function<void()> deed);
  void SayTrouble(absl::string_view what, bool failed);
  // An error by chance; OK mostly.
  absl::Status Accident();
  absl::Duration Work(absl::Duration longest);
  absl::Duration DiskTime();
  bool is_worker() const { return setup_.role == v1::MEMBER_ROLE_MODEL; }
  int32_t workers() const { return assignment_.spec().workers(); }

  const RunnerSetup setup_;
  World& world_;
  Process& process_;

  std::shared_ptr<Held> held_;
  std::deque<Command> commands_;
  bool busy_ = false;

  // What is worked on. epoch_ is behind working_'s while a Regroup is in commands_.
  std::shared_ptr<Held> working_;
  v1::JobEpoch epoch_;
  v1::Prepare assignment_;  // Of the run's first epoch; rank and ranks are the pool's.
  bool prepared_ = false;
  bool connected_ = false;  // Once in a run.
  bool in_pool_ = false;
  bool failed_ = false;
  int64_t next_round_ = 0;
  std::deque<v1::PlanMessage> plans_;
  std::optional<Round> round_;
  std::optional<Await> awaiting_;
  v1::Ready ready_;  // The run's first.
  v1::RoundRecord current_;
  v1::RoundRecord last_;
  v1::RoundRecord validated_;
  JobWeights weights_;
  JobWeights reduced_;  // What a commit makes of them.
  std::shared_ptr<Save> save_;
  v1::CheckpointWritten saved_;

  Block block_ = Block::kNone;
  std::optional<DataPlane::Meeting> meeting_;
  uint64_t meetings_ = 0;   // Counts, so that a deadline knows its own.
  uint64_t breakable_ = 0;  // The same, of Breakable.
  uint64_t awaits_ = 0;     // The same, of AwaitPool.
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_MEMBER_RUNNER_H_
