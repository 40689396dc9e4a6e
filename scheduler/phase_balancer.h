// PhaseBalancer: spreads the core attention of one phase over a pool of servers.
//
// Starts from whole shards: at home when the homes are in the pool, otherwise laid over the pool in
// document order. Then, while a server is outside the tolerance, work moves from a server with a
// surplus to one that is short: of all pieces and cuts, the one with the fewest bytes per pair.
// Cuts start at the granularity asked for, which is halved when it is too coarse, down to one row;
// where one row is too much, its keys are cut.
//
// The work is a phase's allowed pairs. Deterministic. Use one object once, from one thread.
#ifndef RALLY_SCHEDULER_PHASE_BALANCER_H_
#define RALLY_SCHEDULER_PHASE_BALANCER_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "scheduler/planner.h"
#include "scheduler/shard_index.h"
#include "scheduler/task_traffic.h"

namespace rally {

class PhaseBalancer {
 public:
  // `index` is of the micro-batch, borrowed. The topology has a pool.
  PhaseBalancer(const ShardIndex* index, int nano_batch, const Topology& topology,
                const ModelShape& shape, const PlannerOptions& options);

  // The phase's tasks, ordered by document, queries, keys.
  std::vector<CaTask> Run();

 private:
  // A CA-task in the making, trimmed to the mask.
  struct Piece {
    CaTask task;
    int32_t home = 0;
    int64_t pairs = 0;
  };
  struct Member {
    int32_t rank = 0;
    int64_t pairs = 0;
    std::vector<Piece> pieces;
  };
  // How many pairs may go from one member to another: as close to `wanted` as possible.
  struct Amount {
    int64_t least = 0;
    int64_t wanted = 0;
    int64_t most = 0;
  };
  // Some rows of a member's piece go to another member; the rest stays.
  struct Move {
    size_t from = 0;  // Index into members_.
    size_t to = 0;
    size_t piece = 0;  // Index into members_[from].pieces.
    Piece moved;
    std::vector<Piece> rest;
    double cost = 0.0;  // Bytes per pair.
  };
  struct Cuts {
    int64_t granularity = 1;  // Rows.
    bool keys = false;        // One row's keys may be cut.
  };

  std::vector<Piece> WholeShards() const;
  void Place(std::vector<Piece> pieces);
  bool Balanced() const;
  bool MoveOnce(const Cuts& cuts);
  Amount AmountBetween(const Member& from, const Member& to, const Cuts& cuts) const;
  void Consider(size_t from, size_t to, const Cuts& cuts, std::optional<Move>* best) const;
  // Each offers the cut of its kind whose pairs come closest to what is wanted.
  void OfferWhole(const Move& move, const Amount& amount, std::optional<Move>* best) const;
  void OfferQueries(const Move& move, const Amount& amount, int64_t granularity, bool first_rows,
                    std::optional<Move>* best) const;
  void OfferKeys(const Move& move, const Amount& amount, std::optional<Move>* best) const;
  void Offer(Move move, const Amount& amount, std::optional<Move>* best) const;
  void Apply(Move move);
  std::vector<CaTask> CollectTasks();

  Piece Trimmed(CaTask task, int32_t home) const;
  const Piece& PieceOf(const Move& move) const { return members_[move.from].pieces[move.piece]; }

  const ShardIndex* const index_;
  const int nano_batch_;
  const Topology topology_;
  const PlannerOptions options_;
  const AttentionMask mask_;
  TaskTraffic traffic_;
  std::vector<Member> members_;
  double mean_ = 0.0;  // Pairs per member.
  double low_ = 0.0;   // The tolerance's bounds.
  double high_ = 0.0;
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_PHASE_BALANCER_H_
