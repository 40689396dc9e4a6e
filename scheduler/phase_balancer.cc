#include "scheduler/phase_balancer.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>
#include <utility>

namespace rally {
namespace {

// Members looked at on the other side of a move.
constexpr size_t kMaxPartners = 8;
// A task costs as much as this many query rows that travel, so that a few large moves are better
// than many small ones.
constexpr int64_t kTaskOverheadRows = 64;

// Of cuts 1, 2, ..., `count`, the one whose pairs come closest to the wanted amount; `pairs_at`
// rises with the cut. 0 when none is allowed.
template <typename PairsAt, typename Amount>
int64_t ClosestCut(int64_t count, const Amount& amount, const PairsAt& pairs_at) {
  int64_t low = 0;  // The last cut with no more pairs than wanted.
  for (int64_t high = count + 1; high - low > 1;) {
    const int64_t middle = low + (high - low) / 2;
    (pairs_at(middle) <= amount.wanted ? low : high) = middle;
  }
  const int64_t below = low > 0 ? pairs_at(low) : 0;
  const int64_t above = low < count ? pairs_at(low + 1) : 0;
  const bool below_fits = low > 0 && below >= amount.least;
  const bool above_fits = low < count && above >= amount.least && above <= amount.most;
  if (above_fits && (!below_fits || above - amount.wanted < amount.wanted - below)) return low + 1;
  return below_fits ? low : 0;
}

}  // namespace

PhaseBalancer::PhaseBalancer(const ShardIndex* index, int nano_batch, const Topology& topology,
                             const ModelShape& shape, const PlannerOptions& options)
    : index_(index),
      nano_batch_(nano_batch),
      topology_(topology),
      options_(options),
      mask_(shape.mask),
      traffic_(index, shape) {
  for (int32_t rank = topology.in_place ? 0 : topology.workers; rank < topology.ranks(); ++rank) {
    members_.push_back({rank});
  }
}

std::vector<CaTask> PhaseBalancer::Run() {
  Place(WholeShards());
  Cuts cuts{options_.query_granularity};
  while (!Balanced()) {
    if (MoveOnce(cuts)) continue;
    if (cuts.granularity > 1) {
      cuts.granularity /= 2;
    } else if (!cuts.keys) {
      cuts.keys = true;
    } else {
      break;  // Not even a pair can move: the mean is a fraction, or the phase is empty.
    }
  }
  return CollectTasks();
}

PhaseBalancer::Piece PhaseBalancer::Trimmed(CaTask task, int32_t home) const {
  task = TrimToMask(task, mask_);
  return {task, home, AllowedPairs(task, mask_)};
}

std::vector<PhaseBalancer::Piece> PhaseBalancer::WholeShards() const {
  std::vector<Piece> pieces;
  for (const ShardPlace& place : index_->places()) {
    if (place.nano_batch != nano_batch_) continue;
    const int64_t first_key = FirstAllowedKey(place.begin, mask_);
    const int64_t limit =
        options_.max_kv_rows_per_task > 0 ? options_.max_kv_rows_per_task : place.end - first_key;
    for (int64_t key = first_key; key < place.end; key += limit) {
      pieces.push_back(Trimmed({place.document, place.begin, place.end, key,
                                std::min(key + limit, place.end), place.home},
                               place.home));
    }
  }
  return pieces;
}

void PhaseBalancer::Place(std::vector<Piece> pieces) {
  int64_t total = 0;
  for (const Piece& piece : pieces) total += piece.pairs;
  mean_ = static_cast<double>(total) / static_cast<double>(members_.size());
  low_ = (1.0 - options_.tolerance) * mean_;
  high_ = (1.0 + options_.tolerance) * mean_;
  double before = 0.0;  // Pairs of the pieces laid so far.
  for (Piece& piece : pieces) {
    const double middle = before + static_cast<double>(piece.pairs) / 2.0;
    const size_t member = topology_.in_place
                              ? static_cast<size_t>(piece.home)
                              : std::min(static_cast<size_t>(middle / mean_), members_.size() - 1);
    before += static_cast<double>(piece.pairs);
    piece.task.server = members_[member].rank;
    traffic_.Hold(piece.task);
    members_[member].pairs += piece.pairs;
    members_[member].pieces.push_back(std::move(piece));
  }
}

bool PhaseBalancer::Balanced() const {
  return std::all_of(members_.begin(), members_.end(), [this](const Member& member) {
    const auto pairs = static_cast<double>(member.pairs);
    return pairs >= low_ && pairs <= high_;
  });
}

bool PhaseBalancer::MoveOnce(const Cuts& cuts) {
  std::vector<size_t> by_work(members_.size());
  std::iota(by_work.begin(), by_work.end(), 0);
  std::stable_sort(by_work.begin(), by_work.end(),
                   [this](size_t a, size_t b) { return members_[a].pairs < members_[b].pairs; });
  const size_t partners = std::min(kMaxPartners, by_work.size());
  const bool any_above = static_cast<double>(members_[by_work.back()].pairs) > high_;
  std::optional<Move> best;
  for (size_t i = 0; i < partners; ++i) {
    if (any_above) {
      Consider(by_work.back(), by_work[i], cuts, &best);
    } else {
      Consider(by_work[by_work.size() - 1 - i], by_work.front(), cuts, &best);
    }
  }
  if (!best.has_value()) return false;
  Apply(*std::move(best));
  return true;
}

PhaseBalancer::Amount PhaseBalancer::AmountBetween(const Member& from, const Member& to,
                                                   const Cuts& cuts) const {
  const auto from_pairs = static_cast<double>(from.pairs);
  const auto to_pairs = static_cast<double>(to.pairs);
  Amount amount;
  // Neither may leave the tolerance on the other side.
  amount.most = static_cast<int64_t>(std::floor(std::min(from_pairs - low_, high_ - to_pairs)));
  amount.wanted =
      std::min(amount.most,
               std::max<int64_t>(1, std::llround(std::min(from_pairs - mean_, mean_ - to_pairs))));
  // Crumbs are for when nothing else is left.
  amount.least = cuts.granularity > 1 ? std::max<int64_t>(1, amount.wanted / 4) : 1;
  return amount;
}

void PhaseBalancer::Consider(size_t from, size_t to, const Cuts& cuts,
                             std::optional<Move>* best) const {
  if (static_cast<double>(members_[from].pairs) <= mean_) return;
  if (static_cast<double>(members_[to].pairs) >= mean_) return;
  const Amount amount = AmountBetween(members_[from], members_[to], cuts);
  if (amount.most < 1) return;
  Move move;
  move.from = from;
  move.to = to;
  for (move.piece = 0; move.piece < members_[from].pieces.size(); ++move.piece) {
    if (PieceOf(move).pairs <= amount.most) OfferWhole(move, amount, best);
    if (PieceOf(move).pairs <= amount.wanted) continue;
    OfferQueries(move, amount, cuts.granularity, /*first_rows=*/true, best);
    OfferQueries(move, amount, cuts.granularity, /*first_rows=*/false, best);
    if (cuts.keys) OfferKeys(move, amount, best);
  }
}

void PhaseBalancer::OfferWhole(const Move& move, const Amount& amount,
                               std::optional<Move>* best) const {
  Move whole = move;
  whole.moved = PieceOf(move);
  Offer(std::move(whole), amount, best);
}

void PhaseBalancer::OfferQueries(const Move& move, const Amount& amount, int64_t granularity,
                                 bool first_rows, std::optional<Move>* best) const {
  const Piece& piece = PieceOf(move);
  CaTask before = piece.task;  // Rows before the cut, and after.
  CaTask after = piece.task;
  const int64_t first_cut = piece.task.q_begin / granularity + 1;
  const int64_t last_cut = (piece.task.q_end - 1) / granularity;
  const auto cut_at = [&](int64_t count) {
    const int64_t cut = first_rows ? first_cut + count - 1 : last_cut - count + 1;
    before.q_end = after.q_begin = cut * granularity;
    return first_rows ? &before : &after;
  };
  const int64_t cut = ClosestCut(last_cut - first_cut + 1, amount, [&](int64_t count) {
    return AllowedPairs(*cut_at(count), mask_);
  });
  if (cut == 0) return;
  cut_at(cut);
  Move part = move;
  part.moved = Trimmed(first_rows ? before : after, piece.home);
  part.rest = {Trimmed(first_rows ? after : before, piece.home)};
  Offer(std::move(part), amount, best);
}

void PhaseBalancer::OfferKeys(const Move& move, const Amount& amount,
                              std::optional<Move>* best) const {
  const Piece& piece = PieceOf(move);
  CaTask others = piece.task;  // All rows but the last.
  CaTask row = piece.task;
  others.q_end = row.q_begin = piece.task.q_end - 1;
  row = TrimToMask(row, mask_);
  const int64_t cut = ClosestCut(row.kv_rows() - 1, amount, [](int64_t keys) { return keys; });
  if (cut == 0) return;
  Move part = move;
  CaTask first_keys = row;
  first_keys.kv_end = row.kv_begin = row.kv_begin + cut;
  part.moved = Trimmed(first_keys, piece.home);
  part.rest = {Trimmed(others, piece.home), Trimmed(row, piece.home)};
  Offer(std::move(part), amount, best);
}

void PhaseBalancer::Offer(Move move, const Amount& amount, std::optional<Move>* best) const {
  if (move.moved.pairs < amount.least || move.moved.pairs > amount.most) return;
  move.moved.task.server = members_[move.to].rank;
  const double bytes =
      traffic_.Bytes(move.moved.task, move.moved.home) + traffic_.QueryBytes(kTaskOverheadRows);
  move.cost = bytes / static_cast<double>(move.moved.pairs);
  if (!best->has_value() || move.cost < (*best)->cost) *best = std::move(move);
}

void PhaseBalancer::Apply(Move move) {
  Member& from = members_[move.from];
  Member& to = members_[move.to];
  from.pairs -= move.moved.pairs;
  to.pairs += move.moved.pairs;
  from.pieces.erase(from.pieces.begin() + static_cast<std::ptrdiff_t>(move.piece));
  for (Piece& piece : move.rest) {
    if (piece.pairs > 0) from.pieces.push_back(std::move(piece));
  }
  traffic_.Hold(move.moved.task);
  to.pieces.push_back(std::move(move.moved));
}

std::vector<CaTask> PhaseBalancer::CollectTasks() {
  std::vector<Piece> pieces;
  for (Member& member : members_) {
    std::move(member.pieces.begin(), member.pieces.end(), std::back_inserter(pieces));
  }
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
    return std::tie(a.task.document, a.task.q_begin, a.task.kv_begin) <
           std::tie(b.task.document, b.task.q_begin, b.task.kv_begin);
  });
  std::vector<CaTask> tasks;
  for (const Piece& piece : pieces) tasks.push_back(piece.task);
  return tasks;
}

}  // namespace rally
