// PhasePlacer: lays the documents of one phase on its workers so that core attention is nearly
// balanced where the tokens live, and few key/value rows have to travel.
//
// Every worker takes an exact number of tokens and has a limit of work (allowed pairs). A document
// that no worker has room for is cut: its last rows, as much work as the emptiest worker may take,
// become a slice there; the rest, a shorter document, is placed in its turn. A slice [a, b) makes
// its worker pull the keys and values of [0, a), and no query travels.
//
// Where so much work precedes a slice that pulling its keys once per worker is dearer than moving
// queries, several workers share one slice as a tile: each is home to some of its rows, and each
// computes all of them against its own part of the keys.
//
// Work and tokens are balanced at once by weighing them: with `reserve` pairs set aside for every
// token still to come, documents of more work than that per token are packed by what is above it;
// the others fill up the tokens, longest to the worker with the most work left per token. The last
// few fit into no gap; GapFiller (gap_filler.h) takes it from there.
//
// O((documents + cuts) log workers). Deterministic. Use one object once, from one thread.
#ifndef RALLY_SCHEDULER_PHASE_PLACER_H_
#define RALLY_SCHEDULER_PHASE_PLACER_H_

#include <cstdint>
#include <queue>
#include <set>
#include <utility>
#include <vector>

#include "scheduler/ca_task.h"
#include "scheduler/document.h"
#include "scheduler/row_costs.h"

namespace rally {

struct PlacementInput {
  std::vector<DocumentShard> documents;  // Last rows of documents, mostly whole; longest first.
  std::vector<double> document_pairs;    // Work of each of `documents`.
  std::vector<int64_t> document_ends;    // Tokens by document index.
  std::vector<int64_t> tokens;           // Of each worker; their sum is the documents'. [workers]
  std::vector<double> limits;            // Most pairs of each worker. [workers]
  int64_t granularity = 128;             // Slices have at least so many rows, so far as possible.
  AttentionMask mask;
  RowCosts costs;

  // Allowed pairs of rows [begin, end) of a document with all rows before them.
  double Pairs(int64_t begin, int64_t end) const {
    return static_cast<double>(AllowedPairs(begin, end, 0, end, mask));
  }
};

struct PlacementKnobs {
  double reserve = 0.0;       // Pairs set aside for a token that is still to come.
  double headroom = 0.0;      // Share of every limit left free while slices are cut, [0, 1).
  double smallest_cut = 0.0;  // Documents of less work than this are not cut for balance.
  bool best_fit = false;      // Whole documents go where they leave the least room, not the most.
};

struct PlacedShard {
  int32_t worker = 0;
  DocumentShard shard;
};

// The slice [cuts.front(), cuts.back()) of a document, shared by `workers`: worker i is home to
// rows [cuts[i], cuts[i + 1]).
struct Tile {
  int32_t document = 0;
  std::vector<int32_t> workers;
  std::vector<int64_t> cuts;
};

struct PhasePlacement {
  std::vector<PlacedShard> shards;  // Those of tiles too.
  std::vector<Tile> tiles;
  std::vector<bool> tiled;               // By document: whether a tile is of it. Empty: none.
  std::vector<double> pairs;             // By worker; a tile's work in equal parts.
  std::vector<int64_t> latest_slice;     // By worker: first row of its latest slice, 0 for none.
  std::vector<int64_t> gaps;             // By worker: tokens it lacks.
  std::vector<DocumentShard> left_over;  // As many tokens, in shards that fit into no gap.
  double bytes = 0.0;                    // That travel, with nothing moved off the workers.

  // Whether a worker's shard is its part of a tile.
  bool InTile(int32_t worker, const DocumentShard& shard) const;
};

class PhasePlacer {
 public:
  // `input` is borrowed.
  PhasePlacer(const PlacementInput* input, const PlacementKnobs& knobs);

  PhasePlacement Run();

 private:
  struct Bin {
    double pairs_left = 0.0;
    int64_t tokens_left = 0;

    double pairs_per_token() const { return pairs_left / static_cast<double>(tokens_left); }
  };
  // Rows [begin, end) of a document that are not placed.
  struct Item {
    int32_t document = 0;
    int64_t begin = 0;
    int64_t end = 0;
    double pairs = 0.0;

    int64_t rows() const { return end - begin; }
    friend bool operator<(const Item& a, const Item& b) {
      return a.rows() != b.rows() ? a.rows() < b.rows() : a.document > b.document;
    }
  };

  double Excess(double pairs, int64_t tokens) const {
    return pairs - knobs_.reserve * static_cast<double>(tokens);
  }
  double Room(const Bin& bin) const { return Excess(bin.pairs_left, bin.tokens_left); }
  int64_t FirstRow(const Item& item, double room, int64_t most_rows) const;

  void PlaceHeavy();
  int32_t FindBin(const Item& item) const;
  bool Split(Item* item);
  std::vector<double> EndsByWorker(const Item& item) const;
  int TileWidth(const Item& item) const;
  bool SplitTile(Item* item, int width);
  void Fill();
  int32_t NextToFill(int64_t rows);
  void Put(int32_t bin, const DocumentShard& shard, double pairs);

  const PlacementInput& input_;
  const PlacementKnobs knobs_;
  std::vector<Bin> bins_;
  std::set<std::pair<double, int32_t>> by_room_;               // Bins with tokens left.
  std::vector<Item> heavy_;                                    // A heap.
  std::vector<Item> light_;                                    // Longest first.
  std::vector<Item> set_aside_;                                // Joins light_.
  std::priority_queue<std::pair<double, int32_t>> by_need_;    // Bins by work left per token.
  std::priority_queue<std::pair<int64_t, int32_t>> too_full_;  // Bins by tokens left.
  PhasePlacement placement_;
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_PHASE_PLACER_H_
