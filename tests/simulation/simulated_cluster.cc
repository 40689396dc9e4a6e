#include "tests/simulation/simulated_cluster.h"

#include <utility>

#include <absl/strings/str_cat.h>

#include "services/coordinator/conditions.h"

namespace rally::simulation {
namespace {

constexpr absl::Duration kDecision =
    absl::Seconds(3);  // How long a coordinator may take to decide.

}  // namespace

SimulatedCluster::SimulatedCluster(World* world, const Parts& parts)
    : world_(*world),
      parts_(parts),
      containers_(world->random.Chance(0.3)),
      network_(world),
      store_(world) {
  core_options_.heartbeat_interval = absl::Milliseconds(500);
  core_options_.member_timeout = absl::Seconds(10);
  core_options_.server_timeout = absl::Milliseconds(1600);
  core_options_.start_timeout = absl::Seconds(60);
  core_options_.release_timeout = absl::Seconds(20);
  core_options_.round_timeout = absl::Seconds(40);
  core_options_.longest_gap = absl::Milliseconds(1500);
  Random& random = world_.random;
  core_options_.ended_ttl = random.Chance(0.2) ? random.Between(absl::Seconds(5), absl::Seconds(40))
                                               : absl::InfiniteDuration();
  world_.invariants.KeepFor(core_options_.ended_ttl);
  const int64_t workers = random.Between(1, 5);
  const int64_t servers = random.Below(4);
  AddSeats(v1::MEMBER_ROLE_MODEL, "worker-", workers);
  AddSeats(v1::MEMBER_ROLE_ATTENTION, "server-", servers);
  const int64_t jobs = random.Between(1, 3);
  for (int64_t job = 0; job < jobs; ++job) AddClient(job, workers, servers);
}

void SimulatedCluster::AddSeats(v1::MemberRole role, const char* prefix, int64_t count) {
  for (int64_t i = 0; i < count; ++i) {
    seats_.push_back({absl::StrCat(prefix, i), role, world_.random.Chance(0.5) ? "east" : "west"});
  }
}

JobSpec SimulatedCluster::MakeUpSpec(const std::string& job_id, int64_t workers, int64_t servers) {
  Random& random = world_.random;
  JobSpec spec;
  spec.data.path = "data";
  spec.workers = static_cast<int32_t>(random.Between(1, workers));
  spec.attention.dedicated = static_cast<int32_t>(random.Between(0, servers));
  spec.attention.in_place = spec.attention.dedicated == 0 || random.Chance(0.5);
  spec.training.steps = random.Between(1, 8);
  spec.validation.every = random.Below(4);
  if (random.Chance(0.85)) {
    spec.checkpoint.directory = absl::StrCat("checkpoints/", job_id);
    spec.checkpoint.every = random.Below(4);
    if (random.Chance(0.05)) LeaveForeignCheckpoint(job_id, spec.checkpoint.directory);
  }
  spec.priority = static_cast<int32_t>(random.Below(2));
  spec.max_restarts = static_cast<int32_t>(random.Chance(0.5) ? random.Below(4) : 1000);
  if (random.Chance(0.7)) MakeElastic(&spec, workers);
  if (random.Chance(0.1)) spec.deadline_seconds = random.Between(1, 20);
  return spec;
}

// Somebody has trained there before: the job is to find out, whatever goes wrong meanwhile.
void SimulatedCluster::LeaveForeignCheckpoint(const std::string& job_id,
                                              const std::string& directory) {
  const int64_t step = world_.random.Between(1, 8);
  disk_.Save(directory, {step, step, Mix(static_cast<uint64_t>(step))});
  world_.invariants.MayNotTrain(job_id);
}

// May go on with fewer workers; long enough to lose some and have them again.
void SimulatedCluster::MakeElastic(JobSpec* spec, int64_t workers) {
  Random& random = world_.random;
  if (random.Chance(0.6)) spec->workers = static_cast<int32_t>(workers);
  if (spec->workers % 2 == 0 && random.Chance(0.3)) spec->batch.max_document_tokens *= 2;
  const int64_t span = spec->batch.chunks_per_group();
  spec->min_workers = static_cast<int32_t>(span * random.Between(1, spec->workers / span));
  spec->worker_wait_seconds = random.Below(5);
  spec->training.steps = random.Between(1, 40);
}

void SimulatedCluster::AddClient(int64_t number, int64_t workers, int64_t servers) {
  Random& random = world_.random;
  ClientSetup setup;
  setup.world = &world_;
  setup.network = &network_;
  setup.job_id = absl::StrCat("job-", number);
  setup.spec = MakeUpSpec(setup.job_id, workers, servers);
  setup.submit_after = random.Between(absl::ZeroDuration(), absl::Seconds(4));
  if (random.Chance(0.3)) {
    setup.cancel_after = random.Between(absl::ZeroDuration(), absl::Seconds(8));
    setup.grace = random.Chance(0.3) ? absl::ZeroDuration()
                                     : random.Between(absl::Milliseconds(100), absl::Seconds(20));
  }
  setup.coordinator = [this] { return coordinator(); };
  clients_.push_back(std::make_unique<SimulatedClient>(setup));
}

void SimulatedCluster::Start() {
  StartCoordinator();
  for (Seat& seat : seats_) {
    world_.timeline.After(world_.random.Between(absl::ZeroDuration(), absl::Seconds(1)),
                          [this, &seat] { StartMember(&seat); });
  }
  for (const auto& client : clients_) client->Start();
}

SimulatedCoordinator* SimulatedCluster::coordinator() const {
  if (coordinators_.empty() || !coordinators_.back()->alive()) return nullptr;
  return coordinators_.back().get();
}

// And watches over it: starts the next one when it has crashed.
void SimulatedCluster::StartCoordinator() {
  coordinators_.push_back(std::make_unique<SimulatedCoordinator>(
      &world_, &store_, parts_, core_options_, static_cast<int>(coordinators_.size())));
  coordinators_.back()->on_crash = [this] {
    Random& random = world_.random;
    const absl::Duration longest = random.Chance(0.8) ? absl::Seconds(1) : absl::Seconds(30);
    world_.timeline.After(random.Between(absl::Milliseconds(10), longest),
                          [this] { StartCoordinator(); });
  };
}

void SimulatedCluster::StartMember(Seat* seat) {
  MemberSetup setup;
  setup.world = &world_;
  setup.network = &network_;
  setup.disk = &disk_;
  setup.data_plane = &data_plane_;
  setup.parts = &parts_;
  setup.id = seat->name;
  setup.role = seat->role;
  setup.host = seat->host;
  setup.process_id = containers_ ? 1 : ++seat->processes;
  setup.reach = [this](const std::shared_ptr<Connection>& connection) {
    if (coordinator() == nullptr) return false;
    coordinator()->Accept(connection);
    return true;
  };
  setup.ended = [this, seat] {
    seat->member = nullptr;
    Random& random = world_.random;
    absl::Duration longest = random.Chance(0.7) ? absl::Seconds(2) : absl::Seconds(20);
    const bool lost =
        seat->role == v1::MEMBER_ROLE_MODEL && random.Chance(world_.faults.lost_machine);
    if (lost) longest = absl::Minutes(2);
    world_.timeline.After(
        random.Between(lost ? absl::Seconds(10) : absl::Milliseconds(50), longest),
        [this, seat] { StartMember(seat); });
  };
  members_.push_back(std::make_unique<SimulatedMember>(setup));
  seat->member = members_.back().get();
  seat->member->Start();
}

void SimulatedCluster::Check() {
  world_.invariants.CheckKept(store_.jobs());
  const absl::Time now = world_.timeline.now();
  if (coordinator() == nullptr || now - coordinator()->awake_since() < kDecision) return;
  world_.invariants.CheckDue(store_.jobs(), now - kDecision - paused_);
}

bool SimulatedCluster::AtRest() const { return Unrest().empty(); }

std::string SimulatedCluster::Unrest() const {
  for (size_t i = 0; i < clients_.size(); ++i) {
    if (!clients_[i]->done()) return absl::StrCat("client ", i, " has no answer");
  }
  for (const auto& [id, job] : store_.jobs()) {
    if (!IsFinal(job.status().phase())) {
      return absl::StrCat("job ", id, " has not ended: ", job.status().ShortDebugString());
    }
    if (core_options_.ended_ttl < absl::InfiniteDuration()) {
      return absl::StrCat("job ", id, " has ended, but is kept");
    }
  }
  if (coordinator() == nullptr) return "there is no coordinator";
  if (!coordinator()->has_answered()) return "the coordinator owes an answer";
  for (const auto& [id, member] : coordinator()->core().members().members()) {
    if (!member.job_id.empty()) {
      return absl::StrCat("the coordinator believes that ", id, " holds ", member.job_id,
                          ", epoch ", member.epoch);
    }
  }
  for (const Seat& seat : seats_) {
    if (seat.member != nullptr && !seat.member->idle()) {
      return absl::StrCat(seat.name, " still holds an epoch");
    }
  }
  return "";
}

// ---- Faults ----

SimulatedMember* SimulatedCluster::AnyMember() {
  return seats_[world_.random.Below(static_cast<int64_t>(seats_.size()))].member;
}

SimulatedMember* SimulatedCluster::AnyServer() {
  std::vector<SimulatedMember*> servers;
  for (const Seat& seat : seats_) {
    if (seat.role == v1::MEMBER_ROLE_ATTENTION) servers.push_back(seat.member);
  }
  if (servers.empty()) return nullptr;
  return servers[world_.random.Below(static_cast<int64_t>(servers.size()))];
}

void SimulatedCluster::Crash(SimulatedMember* member) {
  if (member == nullptr) return;
  member->Crash(world_.random.Chance(0.7) ? Ending::kAbrupt : Ending::kSilent);
}

void SimulatedCluster::Stop(SimulatedMember* member) {
  if (member != nullptr) member->Leave();
}

void SimulatedCluster::Pause(SimulatedMember* member) {
  if (member == nullptr) return;
  Random& random = world_.random;
  member->Pause(random.Between(absl::Milliseconds(10), absl::Seconds(random.Chance(0.5) ? 1 : 30)));
}

void SimulatedCluster::CrashMember() { Crash(AnyMember()); }
void SimulatedCluster::StopMember() { Stop(AnyMember()); }
void SimulatedCluster::PauseMember() { Pause(AnyMember()); }
void SimulatedCluster::CrashServer() { Crash(AnyServer()); }
void SimulatedCluster::StopServer() { Stop(AnyServer()); }
void SimulatedCluster::PauseServer() { Pause(AnyServer()); }

void SimulatedCluster::BreakSession() { network_.BreakOne(); }

void SimulatedCluster::CutOffMember() {
  Random& random = world_.random;
  const Seat& seat = seats_[random.Below(static_cast<int64_t>(seats_.size()))];
  const absl::Duration time =
      random.Between(absl::Milliseconds(10), absl::Seconds(random.Chance(0.5) ? 2 : 40));
  world_.Note(seat.name, " is cut off for ", absl::FormatDuration(time));
  network_.Cut(seat.name, time);
}

void SimulatedCluster::CutOffCoordinator() {
  Random& random = world_.random;
  const absl::Duration time =
      random.Between(absl::Milliseconds(10), absl::Seconds(random.Chance(0.5) ? 2 : 40));
  world_.Note("the coordinator is cut off for ", absl::FormatDuration(time));
  for (const Seat& seat : seats_) network_.Cut(seat.name, time);
}

// For less time than it takes connections to break.
void SimulatedCluster::PauseCoordinator() {
  if (coordinator() == nullptr || coordinator()->awake_since() > world_.timeline.now()) return;
  Random& random = world_.random;
  const absl::Duration time =
      random.Between(absl::Milliseconds(10), absl::Seconds(random.Chance(0.5) ? 2 : 19));
  coordinator()->Pause(time);
  paused_ += time;
}

void SimulatedCluster::CrashCoordinator() {
  if (coordinator() != nullptr) coordinator()->Crash();
}

void SimulatedCluster::CrashCoordinatorAmidActions() {
  if (coordinator() != nullptr) coordinator()->CrashAmidActions();
}

}  // namespace rally::simulation
