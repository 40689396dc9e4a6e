// PhaseBalancer: brings the core attention of one phase within its servers' limits, at the fewest
// bytes.
//
// It starts from any assignment of the phase's tasks. While a server is above its limit, work moves
// from the one farthest above to one with room: of all pieces, partners and shapes of cut, what
// costs the fewest bytes per pair moved. The shapes are rows at either end of a piece with all
// their keys, and rectangles: the last rows against some of their keys, either those the partner
// holds already or as many as make rows and keys cost the same.
//
// Query cuts fall on multiples of the granularity and leave no fewer rows, but for a document's
// last ones; key cuts fall anywhere. Where that is too coarse to meet the limits, as with tiny
// documents, the granularity is halved, down to one row.
//
// The work is a phase's allowed pairs. Deterministic. Use one object once, from one thread.
#ifndef RALLY_SCHEDULER_PHASE_BALANCER_H_
#define RALLY_SCHEDULER_PHASE_BALANCER_H_

#include <cstdint>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <absl/types/span.h>

#include "scheduler/ca_task.h"
#include "scheduler/held_keys.h"
#include "scheduler/row_costs.h"
#include "scheduler/shard_index.h"

namespace rally {

struct BalanceGoal {
  std::vector<double> limits;  // Most pairs of each rank. [ranks]; 0: gets nothing.
  int64_t query_granularity = 128;
  AttentionMask mask;
  RowCosts costs;
};

class PhaseBalancer {
 public:
  // `index` is of the micro-batch, borrowed. `documents` is the number of the plan's documents.
  PhaseBalancer(const ShardIndex* index, size_t documents, BalanceGoal goal);

  // Takes the phase's tasks and gives them back within the limits, so far as possible, ordered by
  // document, queries, keys.
  std::vector<CaTask> Run(absl::Span<const CaTask> tasks);

 private:
  // A CA-task in the making, trimmed to the mask.
  struct Piece {
    CaTask task;
    int32_t home = 0;
    int64_t pairs = 0;
  };
  struct Server {
    double pairs = 0.0;
    std::vector<Piece> pieces;
  };
  // A part of a piece may go to another server: [rows of `moved`] x [its keys].
  struct Move {
    int32_t from = 0;
    int32_t to = 0;
    size_t piece = 0;
    Piece moved;
    double cost = 0.0;  // Bytes per useful pair.
  };

  void Place(absl::Span<const CaTask> tasks);
  double Excess(int32_t rank) const { return servers_[rank].pairs - goal_.limits[rank]; }
  bool MoveExcess();
  bool MoveOnce(int32_t from);
  std::vector<size_t> LargestPieces(int32_t from) const;
  std::vector<int32_t> Partners(int32_t from, const Piece& piece) const;
  void Consider(Move move, std::optional<Move>* best) const;
  double LeastCost(const Move& move, double pairs) const;
  void OfferRows(const Move& move, double wanted, bool last_rows, std::optional<Move>* best) const;
  void OfferRectangle(const Move& move, double wanted, int64_t rows, RowRange keys,
                      std::optional<Move>* best) const;
  void OfferRectangles(const Move& move, double wanted, std::optional<Move>* best) const;
  void Offer(const Move& move, CaTask task, std::optional<Move>* best) const;
  double Bytes(const Piece& piece, int32_t to) const;
  bool KeepsGranularity(const Move& move) const;
  std::vector<Piece> RestOf(const Move& move) const;
  void Apply(const Move& move);
  void SetPairs(int32_t rank, double pairs);
  std::vector<CaTask> CollectTasks();
  Piece Trimmed(CaTask task, int32_t home) const;
  const Piece& PieceOf(const Move& move) const { return servers_[move.from].pieces[move.piece]; }

  const ShardIndex* const index_;
  const BalanceGoal goal_;
  HeldKeys held_;
  std::vector<int64_t> document_ends_;  // Tokens by document; 0 outside of the micro-batch.
  std::vector<Server> servers_;
  int64_t granularity_ = 1;
  std::set<std::pair<double, int32_t>> by_excess_;  // (pairs - limit, rank).
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_PHASE_BALANCER_H_
