// PhaseSearch: finds a placement of one phase that makes few bytes travel.
//
// PhasePlacer is fast and its knobs matter, the reserve above all. The search tries a fixed list of
// them, then goes on around the best: same input and same number of attempts, same result. It has
// run dry when as many attempts again as led to its best, and some more, found nothing better.
//
// Thread-compatible.
#ifndef RALLY_SCHEDULER_PHASE_SEARCH_H_
#define RALLY_SCHEDULER_PHASE_SEARCH_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "scheduler/phase_placer.h"

namespace rally {

class PhaseSearch {
 public:
  // `input` is borrowed. Keeps the `most_kept` best placements, at least 1.
  PhaseSearch(const PlacementInput* input, size_t most_kept);

  void Try();  // Makes one more attempt.
  int64_t attempts() const { return attempts_; }
  bool ran_dry() const { return attempts_ >= 2 * last_gain_ + kPatience; }

  struct Found {
    double cost = 0.0;  // Bytes, with an estimate for what is above a limit.
    PlacementKnobs knobs;
    PhasePlacement placement;
  };
  const std::vector<Found>& best() const { return best_; }  // Lowest cost first.

 private:
  static constexpr int64_t kPatience = 256;

  PlacementKnobs NextKnobs();
  double Cost(const PhasePlacement& placement) const;

  const PlacementInput& input_;
  const size_t most_kept_;
  double mean_density_ = 0.0;  // Pairs per token.
  double mean_limit_ = 0.0;    // Pairs of a worker.
  int64_t attempts_ = 0;
  int64_t last_gain_ = 0;  // The attempt that found the best, counted from 1.
  std::vector<Found> best_;
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_PHASE_SEARCH_H_
