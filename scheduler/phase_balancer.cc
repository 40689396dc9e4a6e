#include "scheduler/phase_balancer.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numeric>
#include <tuple>

#include "common/check.h"
#include "scheduler/integer_math.h"

namespace rally {
namespace {

constexpr size_t kMostPieces = 8;    // Looked at on a server that gives.
constexpr size_t kMostPartners = 6;  // With the most room, beside those that hold keys already.
// A task costs as much as this many query rows that travel, so that a few large moves are better
// than many small ones.
constexpr double kTaskOverheadRows = 64.0;

}  // namespace

PhaseBalancer::PhaseBalancer(const ShardIndex* index, size_t documents, BalanceGoal goal)
    : index_(index),
      goal_(std::move(goal)),
      held_(documents),
      document_ends_(documents),
      servers_(goal_.limits.size()) {
  for (const ShardPlace& place : index->places()) {
    held_.Hold(place.document, place.home, place.begin, place.end);
    document_ends_[place.document] = std::max(document_ends_[place.document], place.end);
  }
}

std::vector<CaTask> PhaseBalancer::Run(absl::Span<const CaTask> tasks) {
  Place(tasks);
  for (granularity_ = goal_.query_granularity;; granularity_ /= 2) {
    if (MoveExcess() || granularity_ == 1) break;
  }
  return CollectTasks();
}

// Moves work until no server is above its limit, or nothing can be taken from those that are: those
// are set aside. Returns whether there are none.
bool PhaseBalancer::MoveExcess() {
  by_excess_.clear();
  for (size_t rank = 0; rank < servers_.size(); ++rank) {
    const auto r = static_cast<int32_t>(rank);
    by_excess_.insert({Excess(r), r});
  }
  bool all_within = true;
  while (!by_excess_.empty() && by_excess_.rbegin()->first > 0.0) {
    const auto most = *by_excess_.rbegin();
    if (MoveOnce(most.second)) continue;
    by_excess_.erase(most);
    all_within = false;
  }
  return all_within;
}

PhaseBalancer::Piece PhaseBalancer::Trimmed(CaTask task, int32_t home) const {
  task = TrimToMask(task, goal_.mask);
  return {task, home, AllowedPairs(task, goal_.mask)};
}

void PhaseBalancer::Place(absl::Span<const CaTask> tasks) {
  for (const CaTask& task : tasks) {
    const auto places = index_->Find(task.document, task.q_begin, task.q_end);
    RALLY_CHECK(places.size() == 1, "a task's queries lie in one shard");
    Piece piece = Trimmed(task, places[0].home);
    if (piece.pairs == 0) continue;
    Server& server = servers_[task.server];
    server.pairs += static_cast<double>(piece.pairs);
    const bool at_home = task.server == piece.home && places[0].begin <= piece.task.kv_begin;
    if (!at_home || piece.task.kv_end > places[0].end) {
      held_.Hold(task.document, task.server, piece.task.kv_begin, piece.task.kv_end);
    }
    server.pieces.push_back(piece);
  }
}

bool PhaseBalancer::MoveOnce(int32_t from) {
  std::optional<Move> best;
  for (const size_t piece : LargestPieces(from)) {
    for (const int32_t to : Partners(from, servers_[from].pieces[piece])) {
      Consider({from, to, piece}, &best);
    }
  }
  if (!best.has_value()) return false;
  Apply(*best);
  return true;
}

std::vector<size_t> PhaseBalancer::LargestPieces(int32_t from) const {
  const std::vector<Piece>& pieces = servers_[from].pieces;
  std::vector<size_t> order(pieces.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t count = std::min(kMostPieces, order.size());
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(count), order.end(),
                    [&pieces](size_t a, size_t b) {
                      return std::tie(pieces[b].pairs, a) < std::tie(pieces[a].pairs, b);
                    });
  order.resize(count);
  return order;
}

std::vector<int32_t> PhaseBalancer::Partners(int32_t from, const Piece& piece) const {
  std::vector<int32_t> partners;
  for (const HeldKeys::Holder& holder : held_.holders(piece.task.document)) {
    if (holder.rank != from && Excess(holder.rank) < 0.0) partners.push_back(holder.rank);
  }
  const size_t holders = partners.size();
  const auto add = [&](int32_t rank) {
    if (std::find(partners.begin(), partners.end(), rank) == partners.end()) {
      partners.push_back(rank);
    }
  };
  for (auto it = by_excess_.begin(); it != by_excess_.end() && it->first < 0.0; ++it) {
    if (partners.size() >= holders + kMostPartners) break;
    add(it->second);
  }
  // The one with just enough room leaves the larger rooms to others.
  const auto enough = by_excess_.upper_bound({-Excess(from), -1});
  if (enough != by_excess_.begin()) add(std::prev(enough)->second);
  return partners;
}

void PhaseBalancer::Consider(Move move, std::optional<Move>* best) const {
  const Piece& piece = PieceOf(move);
  const double room = -Excess(move.to);
  if (room < 1.0) return;
  const double wanted = std::min(Excess(move.from), room);
  // Hundreds of ranks may have a little room.
  if (best->has_value() && LeastCost(move, std::max(1.0, wanted)) >= (*best)->cost) return;
  if (static_cast<double>(piece.pairs) <= room) Offer(move, piece.task, best);
  if (static_cast<double>(piece.pairs) <= wanted) return;
  OfferRows(move, wanted, /*last_rows=*/true, best);
  OfferRows(move, wanted, /*last_rows=*/false, best);
  OfferRectangles(move, wanted, best);
}

// No move of up to `pairs` useful pairs costs less per pair. With H keys held already, r rows and m
// keys more make r (H + m) pairs; their bytes, query r + key_value m, are fewest where H + m is
// sqrt(query pairs / key_value), or H if that is more.
double PhaseBalancer::LeastCost(const Move& move, double pairs) const {
  const auto& [query, key_value] = goal_.costs;
  const Piece& piece = PieceOf(move);
  const CaTask& task = piece.task;
  double bytes = kTaskOverheadRows * query;
  if (piece.home != move.to) {
    const auto held = static_cast<double>(
        task.kv_rows() - held_.Missing(task.document, move.to, task.kv_begin, task.kv_end));
    const double keys = std::sqrt(query * pairs / key_value);
    bytes += held >= keys ? query * pairs / held : key_value * (2.0 * keys - held);
  }
  return bytes / pairs;
}

// The fewest rows at one end whose pairs are what is wanted, or one step less if that is too much.
void PhaseBalancer::OfferRows(const Move& move, double wanted, bool last_rows,
                              std::optional<Move>* best) const {
  const CaTask& task = PieceOf(move).task;
  const int64_t unit = granularity_;
  const int64_t first_cut = task.q_begin / unit + 1;  // Cuts are multiples of `unit` inside.
  const int64_t last_cut = (task.q_end - 1) / unit;
  const auto part = [&](int64_t cuts) {
    CaTask rows = task;
    (last_rows ? rows.q_begin : rows.q_end) =
        (last_rows ? last_cut + 1 - cuts : first_cut - 1 + cuts) * unit;
    return rows;
  };
  int64_t low = 0;  // Cuts that give less than wanted.
  int64_t high = last_cut - first_cut + 2;
  while (high - low > 1) {
    const int64_t middle = (low + high) / 2;
    const auto pairs = static_cast<double>(AllowedPairs(part(middle), goal_.mask));
    (pairs < wanted ? low : high) = middle;
  }
  if (high <= last_cut - first_cut + 1) Offer(move, part(high), best);
  if (low > 0) Offer(move, part(low), best);
}

void PhaseBalancer::OfferRectangles(const Move& move, double wanted,
                                    std::optional<Move>* best) const {
  const CaTask& task = PieceOf(move).task;
  // Rows and keys cost the same at rows * query = keys * key_value.
  const auto even =
      static_cast<int64_t>(std::sqrt(wanted * goal_.costs.key_value / goal_.costs.query));
  OfferRectangle(move, wanted, even, {task.kv_begin, task.kv_end}, best);
  for (const RowRange& range : held_.ranges(task.document, move.to)) {
    const RowRange keys = {std::max(range.begin, task.kv_begin), std::min(range.end, task.kv_end)};
    if (keys.rows() <= 0) continue;
    const double rows = wanted / static_cast<double>(keys.rows());
    OfferRectangle(move, wanted, static_cast<int64_t>(rows), keys, best);
  }
}

// About `rows` of the last rows against the first keys of `keys`, as many as make up what is
// wanted.
void PhaseBalancer::OfferRectangle(const Move& move, double wanted, int64_t rows, RowRange keys,
                                   std::optional<Move>* best) const {
  CaTask task = PieceOf(move).task;
  const int64_t unit = granularity_;
  const int64_t last_cut = (task.q_end - 1) / unit * unit;
  rows = std::max<int64_t>(1, rows);
  task.q_begin = std::max(task.q_begin, std::min(last_cut, RoundUp(task.q_end - rows, unit)));
  task.kv_begin = std::max(task.kv_begin, keys.begin);
  const int64_t last = std::min(task.kv_end, keys.end);
  int64_t low = task.kv_begin;  // Ends with no more pairs than wanted.
  int64_t high = last + 1;
  while (high - low > 1) {
    task.kv_end = (low + high) / 2;
    const auto pairs = static_cast<double>(AllowedPairs(task, goal_.mask));
    (pairs <= wanted ? low : high) = task.kv_end;
  }
  // One key more reaches what is wanted; Offer refuses it where there is no room.
  for (const int64_t end : {low, high}) {
    if (end <= task.kv_begin || end > last) continue;
    task.kv_end = end;
    Offer(move, task, best);
  }
}

void PhaseBalancer::Offer(const Move& move, CaTask task, std::optional<Move>* best) const {
  const double room = -Excess(move.to);
  Move offer = move;
  offer.moved = Trimmed(task, PieceOf(move).home);
  const auto pairs = static_cast<double>(offer.moved.pairs);
  if (offer.moved.pairs == 0 || pairs > room) return;
  const double useful = std::min(pairs, std::max(1.0, Excess(move.from)));
  offer.cost = (Bytes(offer.moved, move.to) + kTaskOverheadRows * goal_.costs.query) / useful;
  if (best->has_value() && offer.cost >= (*best)->cost) return;
  if (KeepsGranularity(offer)) *best = offer;
}

double PhaseBalancer::Bytes(const Piece& piece, int32_t to) const {
  const CaTask& task = piece.task;
  const int64_t missing = held_.Missing(task.document, to, task.kv_begin, task.kv_end);
  const double queries =
      piece.home == to ? 0.0 : goal_.costs.query * static_cast<double>(task.q_rows());
  return queries + goal_.costs.key_value * static_cast<double>(missing);
}

// What stays behind of a piece: rows before and after the moved ones, keys before and after.
std::vector<PhaseBalancer::Piece> PhaseBalancer::RestOf(const Move& move) const {
  const Piece& piece = PieceOf(move);
  const CaTask& all = piece.task;
  const CaTask& moved = move.moved.task;
  std::vector<Piece> rest;
  const auto keep = [&](int64_t q_begin, int64_t q_end, int64_t kv_begin, int64_t kv_end) {
    if (q_begin >= q_end || kv_begin >= kv_end) return;
    const Piece kept =
        Trimmed({all.document, q_begin, q_end, kv_begin, kv_end, all.server}, piece.home);
    if (kept.pairs > 0) rest.push_back(kept);
  };
  keep(all.q_begin, moved.q_begin, all.kv_begin, all.kv_end);
  keep(moved.q_begin, moved.q_end, all.kv_begin, moved.kv_begin);
  keep(moved.q_begin, moved.q_end, moved.kv_end, all.kv_end);
  keep(moved.q_end, all.q_end, all.kv_begin, all.kv_end);
  return rest;
}

// Rows fewer than the granularity are left only at a document's end, or where its home has no more.
bool PhaseBalancer::KeepsGranularity(const Move& move) const {
  const auto keeps = [this](const CaTask& task) {
    if (task.q_rows() >= granularity_) return true;
    const ShardPlace& place = index_->Find(task.document, task.q_begin, task.q_end)[0];
    const bool whole = task.q_begin == place.begin && task.q_end == place.end;
    return whole || task.q_end == document_ends_[task.document];
  };
  const std::vector<Piece> rest = RestOf(move);
  return keeps(move.moved.task) &&
         std::all_of(rest.begin(), rest.end(), [&](const Piece& p) { return keeps(p.task); });
}

void PhaseBalancer::Apply(const Move& move) {
  std::vector<Piece>& pieces = servers_[move.from].pieces;
  const std::vector<Piece> rest = RestOf(move);
  pieces.erase(pieces.begin() + static_cast<std::ptrdiff_t>(move.piece));
  pieces.insert(pieces.end(), rest.begin(), rest.end());
  Piece arrived = move.moved;
  arrived.task.server = move.to;
  held_.Hold(arrived.task.document, move.to, arrived.task.kv_begin, arrived.task.kv_end);
  servers_[move.to].pieces.push_back(arrived);
  const auto pairs = static_cast<double>(arrived.pairs);
  SetPairs(move.from, servers_[move.from].pairs - pairs);
  SetPairs(move.to, servers_[move.to].pairs + pairs);
}

void PhaseBalancer::SetPairs(int32_t rank, double pairs) {
  // A server that was set aside stays so.
  const bool listed = by_excess_.erase({Excess(rank), rank}) > 0;
  servers_[rank].pairs = pairs;
  if (listed) by_excess_.insert({Excess(rank), rank});
}

std::vector<CaTask> PhaseBalancer::CollectTasks() {
  std::vector<CaTask> tasks;
  for (const Server& server : servers_) {
    for (const Piece& piece : server.pieces) tasks.push_back(piece.task);
  }
  std::sort(tasks.begin(), tasks.end(), [](const CaTask& a, const CaTask& b) {
    return std::tie(a.document, a.q_begin, a.kv_begin) <
           std::tie(b.document, b.q_begin, b.kv_begin);
  });
  return tasks;
}

}  // namespace rally
