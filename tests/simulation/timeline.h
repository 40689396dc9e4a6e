// Timeline: simulated time: a heap of things to be done, at the moment each was asked for.
//
// Things of one moment are done in the order in which they were asked for. One thread.
#ifndef RALLY_TESTS_SIMULATION_TIMELINE_H_
#define RALLY_TESTS_SIMULATION_TIMELINE_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <utility>
#include <vector>

#include <absl/time/time.h>

namespace rally::simulation {

class Timeline {
 public:
  using Deed = std::function<void()>;

  absl::Time now() const { return now_; }
  // Since the beginning.
  absl::Duration elapsed() const { return now_ - Beginning(); }

  // A moment that has passed means now.
  void At(absl::Time moment, Deed deed) {
    heap_.push_back({std::max(moment, now_), ++last_, std::move(deed)});
    std::push_heap(heap_.begin(), heap_.end(), Later);
  }
  void After(absl::Duration delay, Deed deed) { At(now_ + delay, std::move(deed)); }

  // Goes to the next thing and does it; false when there is none.
  bool Step() {
    if (heap_.empty()) return false;
    std::pop_heap(heap_.begin(), heap_.end(), Later);
    const Entry entry = std::move(heap_.back());
    heap_.pop_back();
    now_ = entry.moment;
    entry.deed();
    return true;
  }

 private:
  struct Entry {
    absl::Time moment;
    uint64_t number = 0;
    Deed deed;
  };

  static absl::Time Beginning() { return absl::FromUnixSeconds(1700000000); }
  static bool Later(const Entry& a, const Entry& b) {
    return a.moment != b.moment ? a.moment > b.moment : a.number > b.number;
  }

  absl::Time now_ = Beginning();
  uint64_t last_ = 0;
  std::vector<Entry> heap_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_TIMELINE_H_
