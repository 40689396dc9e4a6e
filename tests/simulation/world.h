// World: what everything in a simulation shares: time, chance, the trace, the rules and how much
// goes wrong; Process: one program in it.
//
// One thread.
#ifndef RALLY_TESTS_SIMULATION_WORLD_H_
#define RALLY_TESTS_SIMULATION_WORLD_H_

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/time.h>

#include "tests/simulation/faults.h"
#include "tests/simulation/invariants.h"
#include "tests/simulation/random.h"
#include "tests/simulation/timeline.h"
#include "tests/simulation/trace.h"

namespace rally::simulation {

struct World {
  World(uint64_t seed, size_t trace_lines) : random(seed), trace(trace_lines) {}

  template <typename... Parts>
  void Note(const Parts&... parts) {
    trace.Note(timeline.elapsed(), absl::StrCat(parts...));
  }

  Random random;
  Timeline timeline;
  Trace trace;
  Invariants invariants;
  FaultRates faults;
  std::map<std::string, int64_t> reasons;  // Why jobs were queued again or ended: how often.
};

// Does nothing once it is dead, and nothing while it is paused, as a stopped process.
class Process {
 public:
  explicit Process(World* world) : world_(*world) {}

  bool alive() const { return alive_; }
  void Die() { alive_ = false; }
  void PauseUntil(absl::Time moment) { paused_until_ = std::max(paused_until_, moment); }

  void After(absl::Duration delay, std::function<void()> deed) {
    world_.timeline.After(delay, [this, deed = std::move(deed)]() mutable { Do(std::move(deed)); });
  }
  // At once, unless it is paused: then in its turn when it goes on.
  void Do(std::function<void()> deed) {
    if (!alive_) return;
    if (waiting_.empty() && !paused()) return deed();
    waiting_.push_back(std::move(deed));
    if (waiting_.size() == 1) world_.timeline.At(paused_until_, [this] { GoOn(); });
  }

 private:
  bool paused() const { return world_.timeline.now() < paused_until_; }
  void GoOn() {
    while (alive_ && !paused() && !waiting_.empty()) {
      const std::function<void()> deed = std::move(waiting_.front());
      waiting_.pop_front();
      deed();
    }
    if (alive_ && !waiting_.empty()) world_.timeline.At(paused_until_, [this] { GoOn(); });
  }

  World& world_;
  bool alive_ = true;
  absl::Time paused_until_ = absl::InfinitePast();
  std::deque<std::function<void()>> waiting_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_WORLD_H_
