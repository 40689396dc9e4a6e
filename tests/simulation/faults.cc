#include "tests/simulation/faults.h"

#include "tests/simulation/world.h"

namespace rally::simulation {

FaultInjector::FaultInjector(World* world, FaultTargets* targets)
    : world_(*world), targets_(*targets) {
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
  for (const Strike strike :
       {&FaultTargets::CrashMember, &FaultTargets::StopMember, &FaultTargets::PauseMember,
        &FaultTargets::BreakSession, &FaultTargets::CutOffMember, &FaultTargets::CutOffCoordinator,
        &FaultTargets::CrashCoordinator, &FaultTargets::CrashCoordinatorAmidActions}) {
    if (!peaceful && random.Chance(0.3)) strikes_.push_back(strike);
  }
  mean_ = absl::Milliseconds(200) * (1 << random.Below(6));
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
