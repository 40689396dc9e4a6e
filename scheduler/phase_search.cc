#include "scheduler/phase_search.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "scheduler/integer_math.h"

namespace rally {
namespace {

// Estimates of what it takes to bring a worker below its limit: a move is at most this share of a
// limit, for others have no more room; rows next to a cut cost so many times their own bytes.
constexpr double kRoom = 0.1;
constexpr double kShift = 4.0;
constexpr double kSmallestCut = 0.1;  // Of a limit, in the first attempts.
// Reserves of the first attempts, as shares of the phase's pairs per token.
constexpr std::array<double, 8> kReserves = {0.12, 0.15, 0.1, 0.2, 0.08, 0.17, 0.25, 0.05};

// A value in [0, 1) from a counter, the same on every machine.
double Draw(uint64_t counter) {
  return static_cast<double>(MixBits((counter + 1) * kMixStep) >> 11) * 0x1.0p-53;
}

}  // namespace

PhaseSearch::PhaseSearch(const PlacementInput* input, size_t most_kept)
    : input_(*input), most_kept_(most_kept) {
  double pairs = 0.0;
  double tokens = 0.0;
  for (const double document : input->document_pairs) pairs += document;
  for (const DocumentShard& document : input->documents) {
    tokens += static_cast<double>(document.tokens());
  }
  mean_density_ = tokens == 0.0 ? 0.0 : pairs / tokens;
  mean_limit_ = std::accumulate(input->limits.begin(), input->limits.end(), 0.0) /
                static_cast<double>(input->limits.size());
}

PlacementKnobs PhaseSearch::NextKnobs() {
  PlacementKnobs knobs;
  if (attempts_ < static_cast<int64_t>(kReserves.size())) {
    knobs.reserve = kReserves[attempts_] * mean_density_;
    knobs.smallest_cut = kSmallestCut * mean_limit_;
    return knobs;
  }
  // Around one of the best.
  const auto draw = [this](uint64_t i) { return Draw(8 * static_cast<uint64_t>(attempts_) + i); };
  knobs = best_[static_cast<size_t>(draw(0) * static_cast<double>(best_.size()))].knobs;
  knobs.reserve *= std::exp(0.3 * (draw(1) + draw(2) - 1.0));
  if (draw(3) < 0.5) knobs.headroom = 0.03 * draw(4);
  if (draw(5) < 0.1) knobs.best_fit = !knobs.best_fit;
  if (draw(6) < 0.3) knobs.smallest_cut = 0.02 * std::pow(100.0, draw(7)) * mean_limit_;
  return knobs;
}

// What is above a limit goes to other workers: with the rows next to a cut when there is one, or as
// the cheapest rectangles, of a size that others have room for. Of the two estimates the lower.
double PhaseSearch::Cost(const PhasePlacement& placement) const {
  double cost = placement.bytes;
  const double square = 4.0 * input_.costs.query * input_.costs.key_value;
  for (size_t worker = 0; worker < placement.pairs.size(); ++worker) {
    const double above = placement.pairs[worker] - input_.limits[worker];
    if (above <= 0.0) continue;
    const double moves = std::ceil(above / (kRoom * mean_limit_));
    double moved = std::sqrt(square * above * moves);
    if (placement.latest_slice[worker] > 0) {
      const double rows = above / static_cast<double>(placement.latest_slice[worker]);
      moved = std::min(moved, kShift * rows * (input_.costs.query + input_.costs.key_value));
    }
    cost += moved;
  }
  // What fits nowhere whole is cut, and its work comes on top of somebody's.
  for (const DocumentShard& shard : placement.left_over) {
    cost += input_.costs.key_value * static_cast<double>(shard.tokens());
    cost += std::sqrt(square * input_.Pairs(shard.begin, shard.end));
  }
  return cost;
}

void PhaseSearch::Try() {
  Found found;
  found.knobs = NextKnobs();
  ++attempts_;
  found.placement = PhasePlacer(&input_, found.knobs).Run();
  found.cost = Cost(found.placement);
  if (best_.size() == most_kept_ && found.cost >= best_.back().cost) return;
  const auto place = std::upper_bound(best_.begin(), best_.end(), found.cost,
                                      [](double cost, const Found& f) { return cost < f.cost; });
  if (place != best_.begin() && std::prev(place)->cost == found.cost) return;  // The same.
  if (place == best_.begin()) last_gain_ = attempts_;
  best_.insert(place, std::move(found));
  if (best_.size() > most_kept_) best_.pop_back();
}

}  // namespace rally
