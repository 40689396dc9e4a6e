#include "tests/simulation/simulated_member.h"

#include <algorithm>
#include <utility>

#include <absl/strings/str_cat.h>

#include "proto/convert.h"

namespace rally::simulation {
namespace {

constexpr absl::Duration kFirstDelay = absl::Milliseconds(100);
constexpr absl::Duration kLongestDelay = absl::Seconds(5);
constexpr absl::Duration kWelcomeTimeout = absl::Seconds(10);
constexpr absl::Duration kGrace = absl::Seconds(20);

}  // namespace

SimulatedMember::SimulatedMember(const MemberSetup& setup)
    : setup_(setup), world_(*setup.world), process_(setup.world), back_off_(kFirstDelay) {
  RunnerSetup runner;
  runner.world = setup.world;
  runner.disk = setup.disk;
  runner.data_plane = setup.data_plane;
  runner.process = &process_;
  runner.role = setup.role;
  runner.name = absl::StrCat(setup.id, "#", setup.process_id);
  runner.say = [this](v1::MemberMessage message) { Say(std::move(message)); };
  runner_ = setup.parts->make_runner(runner);
}

void SimulatedMember::Start() {
  world_.Note(setup_.id, "#", setup_.process_id, " starts");
  process_.After(world_.random.Between(absl::ZeroDuration(), absl::Milliseconds(20)),
                 [this] { Connect(); });
}

// Between half of the current delay and all of it; the next one is twice as long.
void SimulatedMember::ConnectLater() {
  const absl::Duration delay = world_.random.Between(back_off_ / 2, back_off_);
  back_off_ = std::min(back_off_ * 2, kLongestDelay);
  process_.After(delay, [this] { Connect(); });
}

void SimulatedMember::Connect() {
  if (setup_.network->IsCut(setup_.id)) return ConnectLater();
  const std::shared_ptr<Connection> connection = setup_.network->Connect(setup_.id);
  connection->member.message =
      [this, weak = std::weak_ptr<Connection>(connection)](const v1::CoordinatorMessage& message) {
        process_.Do([this, connection = weak.lock(), message] {
          if (connection != nullptr) Heard(connection, message);
        });
      };
  connection->member.ended = [this, ended = connection.get()] {
    process_.Do([this, ended] { StreamEnded(ended); });
  };
  if (!setup_.reach(connection)) {
    connection->Refuse();
    return ConnectLater();
  }
  connection_ = connection;
  welcomed_ = false;
  outbox_.clear();
  // What the runner says from here on goes out after the Hello, which tells what is held then.
  process_.After(world_.random.Between(absl::ZeroDuration(), absl::Milliseconds(1)),
                 [this, connection] { Greet(connection); });
}

void SimulatedMember::Greet(const std::shared_ptr<Connection>& connection) {
  if (connection_ != connection) return;
  v1::MemberMessage message;
  v1::Hello* hello = message.mutable_hello();
  hello->set_member_id(setup_.id);
  hello->set_role(setup_.role);
  hello->set_host(setup_.host);
  hello->set_process_id(setup_.process_id);
  if (const std::optional<v1::JobEpoch> held = runner_->held()) {
    *hello->mutable_current() = *held;
    hello->set_rank(runner_->held_rank());
  }
  connection->Say(std::move(message));
  process_.After(kWelcomeTimeout, [this, connection] {
    if (connection_ != connection || welcomed_) return;
    connection->CloseAtMember(Ending::kAbrupt);
    StreamEnded(connection.get());
  });
}

void SimulatedMember::Heard(const std::shared_ptr<Connection>& connection,
                            const v1::CoordinatorMessage& message) {
  if (connection_ != connection) return;
  if (!message.has_welcome()) return runner_->Handle(message);
  welcomed_ = true;
  back_off_ = kFirstDelay;
  for (v1::MemberMessage& waiting : outbox_) connection->Say(std::move(waiting));
  outbox_.clear();
  BeatLater(connection, FromProto(message.welcome().heartbeat_interval()));
  if (leaving_) SayLeaving();
}

void SimulatedMember::StreamEnded(const Connection* connection) {
  if (connection_.get() != connection) return;
  world_.Note(setup_.id, "#", setup_.process_id, " has lost its session");
  connection_->CloseAtMember(Ending::kInPeace);
  connection_.reset();
  welcomed_ = false;
  ConnectLater();
}

void SimulatedMember::BeatLater(const std::shared_ptr<Connection>& connection,
                                absl::Duration interval) {
  v1::MemberMessage heartbeat;
  heartbeat.mutable_heartbeat();
  connection->Say(std::move(heartbeat));
  process_.After(interval, [this, connection, interval] {
    if (connection_ == connection) BeatLater(connection, interval);
  });
}

void SimulatedMember::Say(v1::MemberMessage message) {
  if (connection_ != nullptr && welcomed_) return connection_->Say(std::move(message));
  outbox_.push_back(std::move(message));
}

void SimulatedMember::SayLeaving() {
  v1::MemberMessage message;
  message.mutable_leaving();
  Say(std::move(message));
}

void SimulatedMember::Leave() {
  process_.Do([this] {
    if (leaving_) return;
    world_.Note(setup_.id, "#", setup_.process_id, " is asked to stop");
    leaving_ = true;
    SayLeaving();
    WaitForRelease(world_.timeline.now() + kGrace);
  });
}

void SimulatedMember::WaitForRelease(absl::Time deadline) {
  if (idle() || !welcomed_) return End(Ending::kInPeace);
  if (world_.timeline.now() >= deadline) return End(Ending::kInPeace);
  process_.After(absl::Milliseconds(100), [this, deadline] { WaitForRelease(deadline); });
}

void SimulatedMember::Crash(Ending ending) { End(ending); }

void SimulatedMember::Pause(absl::Duration time) {
  world_.Note(setup_.id, "#", setup_.process_id, " stands still for ", absl::FormatDuration(time));
  process_.PauseUntil(world_.timeline.now() + time);
}

void SimulatedMember::End(Ending ending) {
  if (!alive()) return;
  world_.Note(setup_.id, "#", setup_.process_id, " ends");
  process_.Die();
  runner_->Vanish();
  if (connection_ != nullptr) connection_->CloseAtMember(ending);
  setup_.ended();
}

}  // namespace rally::simulation
