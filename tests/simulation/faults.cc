#include "tests/simulation/faults.h"

#include "tests/simulation/world.h"

namespace rally::simulation {

FaultInjector::FaultInjector(World* world, FaultTargets* targets)
    : world_(*world), targets_(*targets) {
  if (world_.random.Chance(0.3)) {
    ChooseHarmless();
  } else if (world_.random.Chance(0.15)) {
    ChooseLosses();
  } else {
    ChooseAll();
  }
  mean_ = absl::Milliseconds(200) * (1 << world_.random.Below(6));
}

void FaultInjector::ChooseAll() {
  Random& random = world_.random;
  const bool peaceful = random.Chance(0.05);
  const auto rate = [&random, peaceful](double most) {
    return !peaceful && random.Chance(0.4) ? most * random.Unit() : 0.0;
  };
  FaultRates& rates = world_.faults;
  rates.lose_request = rate(0.4);
  rates.repeat_request = rate(0.4);
  rates.repeat_message = rate(0.3);
  rates.slow_message = rate(0.1);
  rates.slow_plan = rate(0.2);
  rates.failed_plan = rate(0.01);
  rates.user_error = rate(0.005);
  rates.machine_error = rate(0.05);
  rates.bad_loss = rate(0.005);
  rates.slow_work = rate(0.1);
  rates.stuck_work = rate(0.02);
  rates.slow_store = rate(0.1);
  rates.slow_disk = rate(0.5);
  rates.full_disk = rate(0.3);
  rates.silent_crash = rate(0.5);
  rates.lost_machine = rate(1.0);
  for (const Strike strike :
       {&FaultTargets::CrashMember, &FaultTargets::StopMember, &FaultTargets::PauseMember,
        &FaultTargets::BreakSession, &FaultTargets::CutOffMember, &FaultTargets::CutOffCoordinator,
        &FaultTargets::CrashCoordinator, &FaultTargets::CrashCoordinatorAmidActions}) {
    if (!peaceful && random.Chance(0.3)) strikes_.push_back(strike);
  }
}

// Of the coordinator and attention servers, not of workers. The coordinator's machine stays.
void FaultInjector::ChooseHarmless() {
  Random& random = world_.random;
  FaultRates& rates = world_.faults;
  rates.lose_request = 0.2 * random.Unit();
  rates.repeat_request = 0.2 * random.Unit();
  rates.repeat_message = 0.3 * random.Unit();
  rates.slow_store = 0.1 * random.Unit();
  rates.slow_disk = 0.5 * random.Unit();
  const int64_t whom = random.Below(3);
  if (whom != 0) {
    // Not both: members give up a coordinator that does not welcome them.
    if (random.Chance(0.4)) {
      strikes_ = {&FaultTargets::PauseCoordinator};
    } else {
      strikes_ = {&FaultTargets::CrashCoordinator, &FaultTargets::CrashCoordinatorAmidActions};
    }
  }
  if (whom != 1) {
    for (const Strike strike :
         {&FaultTargets::CrashServer, &FaultTargets::StopServer, &FaultTargets::PauseServer}) {
      strikes_.push_back(strike);
    }
  }
  world_.invariants.NoWorkerFails();
}

// Workers above all, which are long in coming back.
void FaultInjector::ChooseLosses() {
  Random& random = world_.random;
  world_.faults.lost_machine = 0.9;
  world_.faults.slow_disk = 0.5 * random.Unit();
  world_.faults.full_disk = random.Chance(0.5) ? 0.5 * random.Unit() : 0.0;
  world_.faults.machine_error = random.Chance(0.3) ? 0.05 * random.Unit() : 0.0;
  strikes_ = {&FaultTargets::CrashMember, &FaultTargets::StopMember};
  if (random.Chance(0.5)) strikes_.push_back(&FaultTargets::CrashCoordinator);
}

void FaultInjector::Start(absl::Time quiet) {
  quiet_ = quiet;
  world_.timeline.At(quiet, [this] {
    world_.faults = {};
    world_.Note("nothing goes wrong from now on");
  });
  if (!strikes_.empty()) Wait();
}

void FaultInjector::Wait() {
  world_.timeline.After(world_.random.Waiting(mean_), [this] {
    if (world_.timeline.now() >= quiet_) return;
    (targets_.*strikes_[world_.random.Below(static_cast<int64_t>(strikes_.size()))])();
    Wait();
  });
}

}  // namespace rally::simulation
