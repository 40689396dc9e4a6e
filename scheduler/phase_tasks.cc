#include "scheduler/phase_tasks.h"

#include <algorithm>

namespace rally {
namespace {

// The keys' end where the tile's rows have `pairs` pairs from `begin` on.
int64_t KeysEnd(const Tile& tile, int64_t begin, double pairs, AttentionMask mask) {
  int64_t low = begin;
  int64_t high = tile.cuts.back();
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    const auto part =
        static_cast<double>(AllowedPairs(tile.cuts.front(), tile.cuts.back(), begin, middle, mask));
    if (part < pairs) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

// Work of each worker of the tile that brings all of them to the same share of their limits, as far
// as what else they do allows.
std::vector<double> ShareTile(const Tile& tile, const PhasePlacement& placement,
                              const PlacementInput& input, double pairs) {
  const auto width = tile.workers.size();
  std::vector<double> others(width);
  double work = pairs;
  double limits = 0.0;
  for (size_t i = 0; i < width; ++i) {
    others[i] = placement.pairs[tile.workers[i]] - pairs / static_cast<double>(width);
    work += others[i];
    limits += input.limits[tile.workers[i]];
  }
  std::vector<double> shares(width);
  for (size_t i = 0; i < width; ++i) {
    shares[i] = std::max(0.0, work * input.limits[tile.workers[i]] / limits - others[i]);
  }
  return shares;
}

void AddTile(const Tile& tile, const PhasePlacement& placement, const PlacementInput& input,
             std::vector<CaTask>* tasks) {
  const int64_t rows_begin = tile.cuts.front();
  const int64_t rows_end = tile.cuts.back();
  const auto pairs =
      static_cast<double>(AllowedPairs(rows_begin, rows_end, 0, rows_end, input.mask));
  const std::vector<double> shares = ShareTile(tile, placement, input, pairs);
  int64_t key = FirstAllowedKey(rows_begin, input.mask);
  for (size_t i = 0; i < shares.size(); ++i) {
    const bool last = i + 1 == shares.size();
    // The diagonal is the last one's: its keys begin before the tile's rows.
    const int64_t end =
        last ? rows_end : std::min(rows_begin, KeysEnd(tile, key, shares[i], input.mask));
    if (end <= key) continue;
    for (size_t home = 0; home + 1 < tile.cuts.size(); ++home) {
      const CaTask task = TrimToMask({tile.document, tile.cuts[home], tile.cuts[home + 1], key,
                                      std::min(end, tile.cuts[home + 1]), tile.workers[i]},
                                     input.mask);
      if (task.q_rows() > 0) tasks->push_back(task);
    }
    key = end;
  }
}

}  // namespace

std::vector<CaTask> PlacementTasks(const PhasePlacement& placement, const PlacementInput& input) {
  std::vector<CaTask> tasks;
  tasks.reserve(placement.shards.size());
  for (const auto& [worker, shard] : placement.shards) {
    if (placement.InTile(worker, shard)) continue;
    tasks.push_back({shard.document, shard.begin, shard.end,
                     FirstAllowedKey(shard.begin, input.mask), shard.end, worker});
  }
  for (const Tile& tile : placement.tiles) AddTile(tile, placement, input, &tasks);
  return tasks;
}

}  // namespace rally
