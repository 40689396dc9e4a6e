// GapFiller: finishes a placement, so that every worker gets its exact number of tokens.
//
// What PhasePlacer leaves over goes to the workers with the largest gaps, which then have too many
// tokens. Exchanges of up to three shards against up to three others carry the surplus over to
// where it lacks; only where no exchange of the exact number of tokens is found, a document is cut.
// Then exchanges of equally many tokens lighten the workers that are above their limits. Exchanged
// shards begin their documents, so none of it makes anything travel, but for the cuts.
//
// Deterministic. Use one object once, from one thread.
#ifndef RALLY_SCHEDULER_GAP_FILLER_H_
#define RALLY_SCHEDULER_GAP_FILLER_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include <absl/types/span.h>

#include "scheduler/phase_placer.h"

namespace rally {

class GapFiller {
 public:
  // Both are borrowed.
  GapFiller(const PlacementInput* input, PhasePlacement* placement);

  // Leaves no gap, nothing left over, and the shards ordered by worker, document and rows. Returns
  // how many shards had to be cut below the granularity, a document's last rows excepted.
  int64_t Run();

 private:
  enum class Choice { kShortest, kEvenly };  // The latter by length.
  // Up to three shards of a worker, by their places in its list.
  struct Pick {
    int64_t tokens = 0;
    double pairs = 0.0;
    std::array<int, 3> shards = {-1, -1, -1};
    int count = 0;
  };
  struct Exchange {
    Pick given;
    Pick taken;
    double above = 0.0;  // Pairs above the two workers' limits afterwards.
  };
  // A shard is cut: its first or its last rows go.
  struct CutPlace {
    size_t shard = 0;
    bool first_rows = false;
    int64_t rows = 0;  // Of keys that will travel; huge where the granularity is not kept.
  };

  void PlaceLeftOver();
  void CarrySurplus();
  bool CarryOver(int32_t from, size_t most_takers);
  bool Cut(int32_t from, bool last_resort);
  CutPlace FindCut(int32_t from, int64_t tokens) const;
  void LightenWork();
  bool Lighten(int32_t from);

  double Above(int32_t worker, double more) const;
  const std::vector<Pick>& Picks(int32_t worker, Choice choice);
  std::vector<Pick> MakePicks(int32_t worker, Choice choice) const;
  bool FindExchange(int32_t from, int32_t to, int64_t tokens, absl::Span<const Pick> given,
                    absl::Span<const Pick> taken, Exchange* best) const;
  void Apply(int32_t from, int32_t to, const Exchange& exchange);
  std::vector<DocumentShard> TakeOut(int32_t worker, const Pick& pick);
  void Move(int32_t from, int32_t to, const DocumentShard& shard);
  void ShardsChanged(int32_t worker);
  void SetGap(int32_t worker, int64_t tokens);
  void SetPairs(int32_t worker, double pairs);
  void WriteBack();

  const PlacementInput& input_;
  PhasePlacement& placement_;
  int64_t small_shards_ = 0;
  std::vector<std::vector<DocumentShard>> shards_;       // By worker.
  std::array<std::vector<std::vector<Pick>>, 2> picks_;  // By choice, worker; empty: to be made.
  std::set<std::pair<int64_t, int32_t>> gaps_;           // Tokens missing, above 0, and worker.
  std::set<std::pair<double, int32_t>> by_excess_;       // (pairs - limit, worker).
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_GAP_FILLER_H_
