#include "scheduler/gap_filler.h"

#include <algorithm>
#include <functional>
#include <iterator>
#include <limits>
#include <optional>
#include <tuple>

#include "common/check.h"

namespace rally {
namespace {

constexpr size_t kMostShards = 16;                 // Of a worker, that an exchange may involve.
constexpr size_t kFewShards = 10;                  // With so few, three at a time.
constexpr int kMostPartners = 8;                   // Workers tried for an exchange of work.
constexpr size_t kMostTakers = 32;                 // Workers tried to carry tokens over to.
constexpr int64_t kLastResort = int64_t{1} << 40;  // Rows; above any document's.
constexpr double kWorthwhile = 0.95;  // An exchange leaves at most so much of what is above.

}  // namespace

GapFiller::GapFiller(const PlacementInput* input, PhasePlacement* placement)
    : input_(*input), placement_(*placement), shards_(placement->gaps.size()) {
  for (const PlacedShard& placed : placement->shards) {
    shards_[placed.worker].push_back(placed.shard);
  }
  for (auto& picks : picks_) picks.resize(shards_.size());
  for (size_t i = 0; i < shards_.size(); ++i) {
    const auto worker = static_cast<int32_t>(i);
    if (placement->gaps[i] > 0) gaps_.insert({placement->gaps[i], worker});
    by_excess_.insert({placement->pairs[i] - input->limits[i], worker});
  }
}

int64_t GapFiller::Run() {
  PlaceLeftOver();
  CarrySurplus();
  LightenWork();
  WriteBack();
  return small_shards_;
}

void GapFiller::SetGap(int32_t worker, int64_t tokens) {
  gaps_.erase({placement_.gaps[worker], worker});
  placement_.gaps[worker] = tokens;
  if (tokens > 0) gaps_.insert({tokens, worker});
}

void GapFiller::SetPairs(int32_t worker, double pairs) {
  // A worker that was set aside stays so.
  const double limit = input_.limits[worker];
  const bool listed = by_excess_.erase({placement_.pairs[worker] - limit, worker}) > 0;
  placement_.pairs[worker] = pairs;
  if (listed) by_excess_.insert({pairs - limit, worker});
}

void GapFiller::PlaceLeftOver() {
  for (const DocumentShard& shard : placement_.left_over) {
    RALLY_CHECK(!gaps_.empty(), "gaps and documents left over hold the same tokens");
    const int32_t worker = gaps_.rbegin()->second;
    shards_[worker].push_back(shard);
    ShardsChanged(worker);
    SetPairs(worker, placement_.pairs[worker] + input_.Pairs(shard.begin, shard.end));
    SetGap(worker, placement_.gaps[worker] - shard.tokens());
  }
  placement_.left_over.clear();
}

void GapFiller::CarrySurplus() {
  const auto workers = static_cast<int32_t>(shards_.size());
  for (int32_t worker = 0; worker < workers; ++worker) {
    while (placement_.gaps[worker] < 0) {
      // Rather look at every gap than cut below the granularity.
      if (CarryOver(worker, kMostTakers)) continue;
      if (!Cut(worker, /*last_resort=*/false) && !CarryOver(worker, gaps_.size())) {
        Cut(worker, /*last_resort=*/true);
      }
    }
  }
}

// One exchange that brings the worker's surplus to nothing, or a partner's gap.
bool GapFiller::CarryOver(int32_t from, size_t most_takers) {
  const std::vector<Pick>& given = Picks(from, Choice::kShortest);
  size_t tried = 0;
  for (auto gap = gaps_.rbegin(); gap != gaps_.rend() && tried < most_takers; ++gap, ++tried) {
    const int64_t tokens = std::min(-placement_.gaps[from], gap->first);
    Exchange exchange;
    const std::vector<Pick>& taken = Picks(gap->second, Choice::kShortest);
    if (!FindExchange(from, gap->second, tokens, given, taken, &exchange)) continue;
    Apply(from, gap->second, exchange);
    return true;
  }
  return false;
}

// Cuts a shard so that the worker's surplus, or a gap, comes to nothing. Gaps below the granularity
// come first: they take a document's last rows, which are gone after a larger cut. Cuts below the
// granularity only as the last resort; returns whether it did.
bool GapFiller::Cut(int32_t from, bool last_resort) {
  RALLY_CHECK(!gaps_.empty(), "gaps and surplus hold the same tokens");
  const bool small = gaps_.begin()->first < input_.granularity;
  const auto [gap, to] = small ? *gaps_.begin() : *gaps_.rbegin();
  const int64_t tokens = std::min(-placement_.gaps[from], gap);
  const CutPlace place = FindCut(from, tokens);
  if (place.rows >= kLastResort) {
    if (!last_resort) return false;
    ++small_shards_;
  }
  ShardsChanged(from);
  DocumentShard& shard = shards_[from][place.shard];
  DocumentShard moved = shard;
  const double before = input_.Pairs(shard.begin, shard.end);
  if (place.first_rows) {
    shard.begin = moved.end = shard.begin + tokens;
  } else {
    shard.end = moved.begin = shard.end - tokens;
  }
  const double parts = input_.Pairs(shard.begin, shard.end) + input_.Pairs(moved.begin, moved.end);
  SetPairs(from, placement_.pairs[from] - before + parts);
  Move(from, to, moved);
  return true;
}

// The cut that makes the fewest keys travel. Parts below the granularity, other than a document's
// last rows, are for when nothing else is left.
GapFiller::CutPlace GapFiller::FindCut(int32_t from, int64_t tokens) const {
  CutPlace best;
  best.rows = std::numeric_limits<int64_t>::max();
  for (size_t i = 0; i < shards_[from].size(); ++i) {
    const DocumentShard& shard = shards_[from][i];
    const int64_t stays = shard.tokens() - tokens;
    if (stays <= 0 || placement_.InTile(from, shard)) continue;
    const bool at_end = input_.document_ends[shard.document] == shard.end;
    // The part before the cut, and the part after it.
    const auto rows = [&](int64_t before, int64_t after) {
      const bool keeps = before >= input_.granularity && (at_end || after >= input_.granularity);
      return shard.begin + before + (keeps ? 0 : kLastResort);
    };
    const int64_t first = rows(tokens, stays);
    const int64_t last = rows(stays, tokens);
    if (first < best.rows) best = {i, true, first};
    if (last < best.rows) best = {i, false, last};
  }
  RALLY_CHECK(best.rows < std::numeric_limits<int64_t>::max(),
              "a shard is longer than the surplus");
  return best;
}

// Exchanges that bring workers below their limits.
void GapFiller::LightenWork() {
  while (!by_excess_.empty() && by_excess_.rbegin()->first > 0.0) {
    const auto most = *by_excess_.rbegin();
    if (!Lighten(most.second)) by_excess_.erase(most);
  }
}

bool GapFiller::Lighten(int32_t from) {
  std::optional<Exchange> best;
  const std::vector<Pick>& given = Picks(from, Choice::kEvenly);
  int32_t partner = -1;
  int tried = 0;
  for (auto it = by_excess_.begin(); it != by_excess_.end() && it->first < 0.0; ++it) {
    if (tried++ == kMostPartners) break;
    Exchange exchange;
    const std::vector<Pick>& taken = Picks(it->second, Choice::kEvenly);
    if (!FindExchange(from, it->second, 0, given, taken, &exchange)) continue;
    if (best.has_value() && exchange.above >= best->above) continue;
    best = exchange;
    partner = it->second;
    if (exchange.above == 0.0) break;
  }
  if (!best.has_value() || best->above > kWorthwhile * Above(from, 0.0)) return false;
  Apply(from, partner, *best);
  return true;
}

double GapFiller::Above(int32_t worker, double more) const {
  return std::max(0.0, placement_.pairs[worker] + more - input_.limits[worker]);
}

void GapFiller::ShardsChanged(int32_t worker) {
  for (auto& picks : picks_) picks[worker].clear();
}

const std::vector<GapFiller::Pick>& GapFiller::Picks(int32_t worker, Choice choice) {
  std::vector<Pick>& picks = picks_[static_cast<size_t>(choice)][worker];
  if (picks.empty()) picks = MakePicks(worker, choice);
  return picks;
}

// Nothing, and combinations of the chosen shards that begin their document, by tokens.
std::vector<GapFiller::Pick> GapFiller::MakePicks(int32_t worker, Choice choice) const {
  const std::vector<DocumentShard>& shards = shards_[worker];
  std::vector<std::pair<int64_t, int>> by_length;
  for (size_t i = 0; i < shards.size(); ++i) {
    if (shards[i].begin == 0) by_length.push_back({shards[i].end, static_cast<int>(i)});
  }
  std::sort(by_length.begin(), by_length.end());
  const size_t count = std::min(kMostShards, by_length.size());
  const size_t last = choice == Choice::kShortest ? count : by_length.size();
  const int most = count <= kFewShards ? 3 : 2;  // Shards of a combination.
  std::vector<Pick> picks;
  picks.reserve(most == 3 ? 1 + kFewShards * (kFewShards * kFewShards + 5) / 6
                          : 1 + count * (count + 1) / 2);
  picks.emplace_back();
  for (size_t i = 0; i < count; ++i) {
    const auto [tokens, place] = by_length[(i + 1) * last / count - 1];
    const size_t without = picks.size();
    for (size_t j = 0; j < without; ++j) {
      if (picks[j].count == most) continue;
      Pick with = picks[j];
      with.tokens += tokens;
      with.pairs += input_.Pairs(0, tokens);
      with.shards[with.count++] = place;
      picks.push_back(with);
    }
  }
  std::sort(picks.begin(), picks.end(), [](const Pick& a, const Pick& b) {
    return std::tie(a.tokens, a.pairs, a.shards) < std::tie(b.tokens, b.pairs, b.shards);
  });
  return picks;
}

// Of the exchanges that carry exactly `tokens` over, the one that leaves the least work above the
// two workers' limits.
bool GapFiller::FindExchange(int32_t from, int32_t to, int64_t tokens, absl::Span<const Pick> given,
                             absl::Span<const Pick> taken, Exchange* best) const {
  bool found = false;
  auto first = given.begin();
  for (const Pick& back : taken) {
    const int64_t wanted = back.tokens + tokens;
    while (first != given.end() && first->tokens < wanted) ++first;
    for (auto pick = first; pick != given.end() && pick->tokens == wanted; ++pick) {
      const double moved = pick->pairs - back.pairs;
      const double above = Above(from, -moved) + Above(to, moved);
      if (found && above >= best->above) continue;
      found = true;
      *best = {*pick, back, above};
    }
  }
  return found;
}

void GapFiller::Apply(int32_t from, int32_t to, const Exchange& exchange) {
  const std::vector<DocumentShard> given = TakeOut(from, exchange.given);
  const std::vector<DocumentShard> taken = TakeOut(to, exchange.taken);
  for (const DocumentShard& shard : given) Move(from, to, shard);
  for (const DocumentShard& shard : taken) Move(to, from, shard);
}

std::vector<DocumentShard> GapFiller::TakeOut(int32_t worker, const Pick& pick) {
  std::array<int, 3> places = pick.shards;
  std::sort(places.begin(), places.end(), std::greater<int>());  // The last first.
  ShardsChanged(worker);
  std::vector<DocumentShard> out;
  for (const int place : places) {
    if (place < 0) break;
    out.push_back(shards_[worker][place]);
    shards_[worker].erase(shards_[worker].begin() + place);
  }
  return out;
}

// Adds the shard, which is out of the giver's list, to the taker's.
void GapFiller::Move(int32_t from, int32_t to, const DocumentShard& shard) {
  const double pairs = input_.Pairs(shard.begin, shard.end);
  shards_[to].push_back(shard);
  ShardsChanged(to);
  SetPairs(from, placement_.pairs[from] - pairs);
  SetPairs(to, placement_.pairs[to] + pairs);
  SetGap(from, placement_.gaps[from] + shard.tokens());
  SetGap(to, placement_.gaps[to] - shard.tokens());
}

void GapFiller::WriteBack() {
  placement_.shards.clear();
  for (size_t i = 0; i < shards_.size(); ++i) {
    const auto worker = static_cast<int32_t>(i);
    std::sort(shards_[i].begin(), shards_[i].end(),
              [](const DocumentShard& a, const DocumentShard& b) {
                return std::pair(a.document, a.begin) < std::pair(b.document, b.begin);
              });
    for (const DocumentShard& shard : shards_[i]) {
      const bool first = &shard == shards_[i].data();
      DocumentShard* const previous = first ? nullptr : &placement_.shards.back().shard;
      const bool joins = !first && previous->document == shard.document &&
                         previous->end == shard.begin && !placement_.InTile(worker, shard) &&
                         !placement_.InTile(worker, *previous);
      if (joins) {
        previous->end = shard.end;
      } else {
        placement_.shards.push_back({worker, shard});
      }
    }
  }
}

}  // namespace rally
