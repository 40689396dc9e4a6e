// DataPlane: what members do with each other: a round ends on no rank before all have joined it.
//
// A meeting is named by job, epoch and round; whoever waits in vain gives up at its own deadline.
// One thread.
#ifndef RALLY_TESTS_SIMULATION_DATA_PLANE_H_
#define RALLY_TESTS_SIMULATION_DATA_PLANE_H_

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <tuple>
#include <utility>

namespace rally::simulation {

class DataPlane {
 public:
  using Meeting = std::tuple<std::string, uint32_t, int64_t>;  // Job, epoch, round.

  // Calls `met` of everybody, once `needed` ranks are there.
  void Join(const Meeting& meeting, int32_t rank, int32_t needed, std::function<void()> met) {
    std::map<int32_t, std::function<void()>>& waiting = meetings_[meeting];
    waiting[rank] = std::move(met);
    if (static_cast<int32_t>(waiting.size()) < needed) return;
    const std::map<int32_t, std::function<void()>> all = std::move(waiting);
    meetings_.erase(meeting);
    for (const auto& [joined, call] : all) call();
  }

  // Gives up waiting.
  void Leave(const Meeting& meeting, int32_t rank) {
    const auto found = meetings_.find(meeting);
    if (found == meetings_.end()) return;
    found->second.erase(rank);
    if (found->second.empty()) meetings_.erase(found);
  }

 private:
  std::map<Meeting, std::map<int32_t, std::function<void()>>> meetings_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_DATA_PLANE_H_
