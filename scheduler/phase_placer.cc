#include "scheduler/phase_placer.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>

#include "common/check.h"
#include "scheduler/integer_math.h"

namespace rally {
namespace {

constexpr size_t kMostTileWorkers = 8;
constexpr int kMostBinsTried = 32;  // For one document, so that the time stays N log N.

}  // namespace

bool PhasePlacement::InTile(int32_t worker, const DocumentShard& shard) const {
  if (tiled.empty() || !tiled[shard.document]) return false;
  return std::any_of(tiles.begin(), tiles.end(), [&](const Tile& tile) {
    return tile.document == shard.document && shard.begin >= tile.cuts.front() &&
           shard.end <= tile.cuts.back() &&
           std::find(tile.workers.begin(), tile.workers.end(), worker) != tile.workers.end();
  });
}

PhasePlacer::PhasePlacer(const PlacementInput* input, const PlacementKnobs& knobs)
    : input_(*input), knobs_(knobs), bins_(input->tokens.size()) {
  int64_t lacking = 0;
  for (size_t i = 0; i < bins_.size(); ++i) {
    bins_[i] = {input_.limits[i] * (1.0 - knobs.headroom), input_.tokens[i]};
    lacking += input_.tokens[i];
    if (input_.tokens[i] > 0) by_room_.insert({Room(bins_[i]), static_cast<int32_t>(i)});
  }
  light_.reserve(input_.documents.size());
  for (size_t i = 0; i < input_.documents.size(); ++i) {
    const DocumentShard& document = input_.documents[i];
    const double pairs = input_.document_pairs[i];
    (Excess(pairs, document.tokens()) > 0.0 ? heavy_ : light_)
        .push_back({document.document, document.begin, document.end, pairs});
    lacking -= document.tokens();
  }
  RALLY_CHECK(lacking == 0, "the workers take as many tokens as the documents have");
  placement_.shards.reserve(input_.documents.size() + 4 * bins_.size());
  placement_.pairs.resize(bins_.size());
  placement_.latest_slice.resize(bins_.size());
}

PhasePlacement PhasePlacer::Run() {
  PlaceHeavy();
  Fill();
  for (const Bin& bin : bins_) placement_.gaps.push_back(bin.tokens_left);
  return std::move(placement_);
}

void PhasePlacer::Put(int32_t bin, const DocumentShard& shard, double pairs) {
  placement_.shards.push_back({bin, shard});
  placement_.pairs[bin] += pairs;
  bins_[bin].tokens_left -= shard.tokens();
  bins_[bin].pairs_left -= pairs;
  if (shard.begin == 0) return;
  placement_.latest_slice[bin] = std::max(placement_.latest_slice[bin], shard.begin);
  const int64_t pulled = shard.begin - FirstAllowedKey(shard.begin, input_.mask);
  placement_.bytes += input_.costs.key_value * static_cast<double>(pulled);
}

void PhasePlacer::PlaceHeavy() {
  std::make_heap(heavy_.begin(), heavy_.end());
  while (!heavy_.empty()) {
    std::pop_heap(heavy_.begin(), heavy_.end());
    Item item = heavy_.back();
    heavy_.pop_back();
    const int32_t bin = FindBin(item);
    if (bin >= 0) {
      by_room_.erase({Room(bins_[bin]), bin});
      Put(bin, {item.document, item.begin, item.end}, item.pairs);
      if (bins_[bin].tokens_left > 0) by_room_.insert({Room(bins_[bin]), bin});
      continue;
    }
    const bool split = item.pairs >= knobs_.smallest_cut && Split(&item);
    if (split && Excess(item.pairs, item.rows()) > 0.0) {
      heavy_.push_back(item);
      std::push_heap(heavy_.begin(), heavy_.end());
    } else if (item.rows() > 0) {
      set_aside_.push_back(item);
    }
  }
}

// A worker that takes the item whole, -1 for none among those that are looked at.
int32_t PhasePlacer::FindBin(const Item& item) const {
  const double needed = Excess(item.pairs, item.rows());
  const auto has_tokens = [&](const std::pair<double, int32_t>& bin) {
    return bins_[bin.second].tokens_left >= item.rows();
  };
  int tried = 0;
  if (knobs_.best_fit) {
    auto it = by_room_.lower_bound({needed, -1});
    for (; it != by_room_.end() && tried < kMostBinsTried; ++it, ++tried) {
      if (has_tokens(*it)) return it->second;
    }
    return -1;
  }
  auto it = by_room_.rbegin();
  for (; it != by_room_.rend() && it->first >= needed && tried < kMostBinsTried; ++it, ++tried) {
    if (has_tokens(*it)) return it->second;
  }
  return -1;
}

// The first row of the longest slice at the item's end that fits; its end when none does.
int64_t PhasePlacer::FirstRow(const Item& item, double room, int64_t most_rows) const {
  int64_t fits = item.end;  // Fits, or is empty.
  int64_t low = std::max(item.begin, item.end - most_rows);
  while (low < fits) {
    const int64_t middle = low + (fits - low) / 2;
    if (Excess(input_.Pairs(middle, item.end), item.end - middle) <= room) {
      fits = middle;
    } else {
      low = middle + 1;
    }
  }
  if (fits == item.begin) return fits;
  return std::min(item.end, RoundUp(fits, input_.granularity));
}

// Puts the last rows of the item on the emptiest worker, or on several as a tile.
bool PhasePlacer::Split(Item* item) {
  if (by_room_.empty() || by_room_.rbegin()->first <= 0.0) return false;
  const int width = TileWidth(*item);
  if (width > 1 && SplitTile(item, width)) return true;
  const int32_t bin = by_room_.rbegin()->second;
  const int64_t begin = FirstRow(*item, Room(bins_[bin]), bins_[bin].tokens_left);
  const bool last = item->end == input_.document_ends[item->document];
  if (begin == item->end || (!last && item->end - begin < input_.granularity)) return false;
  by_room_.erase(std::prev(by_room_.end()));
  Put(bin, {item->document, begin, item->end}, input_.Pairs(begin, item->end));
  if (bins_[bin].tokens_left > 0) by_room_.insert({Room(bins_[bin]), bin});
  item->end = begin;
  item->pairs = input_.Pairs(item->begin, begin);
  return true;
}

// Where slices of the emptiest worker's room, cut one after the other from the end of a whole
// document, would begin: the solutions of Excess(begin, previous end) == room. Starts with the end.
std::vector<double> PhasePlacer::EndsByWorker(const Item& item) const {
  const double room = by_room_.rbegin()->first;
  std::vector<double> ends = {static_cast<double>(item.end)};
  while (ends.back() > 0.0 && ends.size() <= bins_.size()) {
    const double above = ends.back() - knobs_.reserve;
    const double square = above * above - 2.0 * room;
    ends.push_back(square <= 0.0 ? 0.0 : std::max(0.0, knobs_.reserve + std::sqrt(square)));
  }
  return ends;
}

// How many workers share the next slice: the first step of the cheapest way to hand out the whole
// item, in rows of keys, by dynamic programming over the workers used.
int PhasePlacer::TileWidth(const Item& item) const {
  const bool heavy = Excess(item.pairs, item.rows()) >= 3.0 * by_room_.rbegin()->first;
  if (!heavy || item.begin > 0 || input_.mask.window > 0) return 1;
  const std::vector<double> ends = EndsByWorker(item);
  const size_t last = ends.size() - 1;
  const double query = input_.costs.query / input_.costs.key_value;
  std::vector<double> cost(last + 1, 0.0);  // Of what is left after so many workers.
  size_t best_width = 1;                    // Of the step computed last, in the end the first.
  for (size_t used = last; used-- > 0;) {
    cost[used] = std::numeric_limits<double>::infinity();
    for (size_t width = 1; width <= kMostTileWorkers && used + width <= last; ++width) {
      const double begin = ends[used + width];
      const double rows = ends[used] - begin;
      const auto others = static_cast<double>(width - 1);
      if (width > 1 && begin < (others + 1.0) * rows) break;  // One worker takes the diagonal.
      const double own = begin + others * rows * query + cost[used + width];
      if (own >= cost[used]) continue;
      cost[used] = own;
      best_width = width;
    }
  }
  return static_cast<int>(best_width);
}

bool PhasePlacer::SplitTile(Item* item, int width) {
  Tile tile;
  tile.document = item->document;
  double room = 0.0;
  int64_t rows = std::numeric_limits<int64_t>::max();  // That each of them has tokens for.
  for (auto it = by_room_.rbegin(); it != by_room_.rend() && it->first > 0.0; ++it) {
    tile.workers.push_back(it->second);
    room += it->first;
    rows = std::min(rows, bins_[it->second].tokens_left);
    if (static_cast<int>(tile.workers.size()) == width) break;
  }
  const int64_t unit = input_.granularity;
  const int64_t begin = FirstRow(*item, room, rows / unit * unit * width);
  const int64_t share = RoundUp((item->end - begin + width - 1) / width, unit);
  const int64_t last_rows = item->end - begin - (width - 1) * share;
  if (static_cast<int>(tile.workers.size()) < width || last_rows < unit || begin == 0) return false;
  const double pairs = input_.Pairs(begin, item->end) / width;
  const double bytes = placement_.bytes;
  tile.cuts.push_back(begin);
  for (const int32_t worker : tile.workers) {
    const int64_t from = tile.cuts.back();
    tile.cuts.push_back(std::min(item->end, from + share));
    by_room_.erase({Room(bins_[worker]), worker});
    Put(worker, {item->document, from, tile.cuts.back()}, pairs);
    if (bins_[worker].tokens_left > 0) by_room_.insert({Room(bins_[worker]), worker});
  }
  placement_.bytes = bytes + input_.costs.key_value * static_cast<double>(begin) +
                     input_.costs.query * static_cast<double>((width - 1) * (item->end - begin));
  placement_.tiled.resize(input_.document_ends.size());
  placement_.tiled[tile.document] = true;
  placement_.tiles.push_back(std::move(tile));
  item->end = begin;
  item->pairs = input_.Pairs(item->begin, begin);
  return true;
}

// Light documents fill up the tokens: longest first, each to the worker with the most work left per
// token among those that have the tokens.
void PhasePlacer::Fill() {
  const auto longest_first = [](const Item& a, const Item& b) { return b < a; };
  std::sort(set_aside_.begin(), set_aside_.end(), longest_first);
  const auto middle = static_cast<std::ptrdiff_t>(light_.size());
  light_.insert(light_.end(), set_aside_.begin(), set_aside_.end());
  std::inplace_merge(light_.begin(), light_.begin() + middle, light_.end(), longest_first);
  for (size_t i = 0; i < bins_.size(); ++i) {
    too_full_.push({bins_[i].tokens_left, static_cast<int32_t>(i)});
  }
  for (const Item& item : light_) {
    const DocumentShard shard = {item.document, item.begin, item.end};
    const int32_t bin = NextToFill(item.rows());
    if (bin < 0) {
      placement_.left_over.push_back(shard);
      continue;
    }
    Put(bin, shard, item.pairs);
    if (bins_[bin].tokens_left > 0) by_need_.push({bins_[bin].pairs_per_token(), bin});
  }
}

// Takes the bin with the most work left per token out of those that have `rows` tokens left; -1
// when there is none. `rows` falls from call to call.
int32_t PhasePlacer::NextToFill(int64_t rows) {
  for (; !too_full_.empty() && too_full_.top().first >= rows; too_full_.pop()) {
    const int32_t bin = too_full_.top().second;
    by_need_.push({bins_[bin].pairs_per_token(), bin});
  }
  while (!by_need_.empty()) {
    const int32_t bin = by_need_.top().second;
    by_need_.pop();
    if (bins_[bin].tokens_left >= rows) return bin;
    too_full_.push({bins_[bin].tokens_left, bin});
  }
  return -1;
}

}  // namespace rally
