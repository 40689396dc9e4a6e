// RoundTimes: when the members of a job had done their part of its rounds, and how long the
// coordinator took to answer.
//
// Thread-safe.
#ifndef RALLY_TESTS_BENCH_ROUND_TIMES_H_
#define RALLY_TESTS_BENCH_ROUND_TIMES_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "tests/bench/latencies.h"

namespace rally::bench {

// One round of one epoch of a job.
struct RoundName {
  std::string job_id;
  uint32_t epoch = 0;
  int64_t round = 0;

  friend bool operator<(const RoundName& a, const RoundName& b) {
    return std::tie(a.job_id, a.epoch, a.round) < std::tie(b.job_id, b.epoch, b.round);
  }
};

class RoundTimes {
 public:
  // A member says it now.
  void Done(const RoundName& name) { Note(name, &Round::done); }
  void Committed(const RoundName& name) { Note(name, &Round::committed); }

  // A member has received it now. A plan is sent once the round two before is committed.
  void GotCommit(const RoundName& name) {
    absl::MutexLock lock(&mutex_);
    const auto found = rounds_.find(name);
    if (found != rounds_.end()) commit_.Add(absl::Now() - found->second.done);
  }
  void GotPlan(RoundName name) {
    name.round -= 2;
    absl::MutexLock lock(&mutex_);
    const auto found = rounds_.find(name);
    if (found != rounds_.end()) plan_.Add(absl::Now() - found->second.committed);
  }

  const Latencies& commit() const { return commit_; }
  const Latencies& plan() const { return plan_; }
  int64_t rounds() const {
    absl::MutexLock lock(&mutex_);
    return started_;
  }

 private:
  struct Round {
    absl::Time done = absl::InfinitePast();  // The last member's.
    absl::Time committed = absl::InfinitePast();
  };

  void Note(const RoundName& name, absl::Time Round::*when) {
    absl::MutexLock lock(&mutex_);
    const auto [found, fresh] = rounds_.try_emplace(name);
    found->second.*when = std::max(found->second.*when, absl::Now());
    if (!fresh) return;
    ++started_;
    rounds_.erase({name.job_id, name.epoch, name.round - 4});
  }

  mutable absl::Mutex mutex_;
  std::map<RoundName, Round> rounds_ ABSL_GUARDED_BY(mutex_);
  int64_t started_ ABSL_GUARDED_BY(mutex_) = 0;
  Latencies commit_;
  Latencies plan_;
};

}  // namespace rally::bench

#endif  // RALLY_TESTS_BENCH_ROUND_TIMES_H_
