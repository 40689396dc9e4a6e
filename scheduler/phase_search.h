// PhaseSearch: finds a placement of one phase that makes few bytes travel.
//
// PhasePlacer is fast and its knobs matter, the reserve above all. The search tries a fixed list of
// them, then goes on around the best: same input and same number of attempts, same result.
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

  // Makes one more attempt. Returns whether it is among the best.
  bool Try();
  int64_t attempts() const { return attempts_; }

  struct Found {
    double cost = 0.0;  // Bytes, with an estimate for what is above a limit.
    PlacementKnobs knobs;
    PhasePlacement placement;
  };
  const std::vector<Found>& best() const { return best_; }  // Lowest cost first.

 private:
  PlacementKnobs NextKnobs();
  double Cost(const PhasePlacement& placement) const;

  const PlacementInput& input_;
  const size_t most_kept_;
  double mean_density_ = 0.0;  // Pairs per token.
  double mean_limit_ = 0.0;    // Pairs of a worker.
  int64_t attempts_ = 0;
  std::vector<Found> best_;
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_PHASE_SEARCH_H_
