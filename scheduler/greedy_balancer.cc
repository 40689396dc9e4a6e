#include "scheduler/greedy_balancer.h"

#include <algorithm>
#include <tuple>

#include "common/check.h"

namespace rally {
namespace {

// Largest `rings` in [0, limit] with pairs_of(rings) <= wanted; pairs_of rises.
template <typename PairsOf>
int64_t MostRings(int64_t limit, double wanted, const PairsOf& pairs_of) {
  int64_t fits = 0;
  for (int64_t exceeds = limit + 1; exceeds - fits > 1;) {
    const int64_t middle = fits + (exceeds - fits) / 2;
    (static_cast<double>(pairs_of(middle)) <= wanted ? fits : exceeds) = middle;
  }
  return fits;
}

}  // namespace

GreedyBalancer::GreedyBalancer(const ShardIndex& index, int nano_batch, const Topology& topology,
                               const ModelShape& model, double tolerance)
    : topology_(topology),
      mask_(model.mask),
      query_row_bytes_(static_cast<double>(QueryRowElements(model))),
      key_value_row_bytes_(static_cast<double>(KeyValueRowElements(model))),
      tolerance_(tolerance),
      surplus_(static_cast<size_t>(topology.ranks())) {
  RALLY_CHECK(!topology.local(), "no server to balance over");
  std::vector<ShardPlace> places;  // Of one document in this phase.
  for (const ShardPlace& place : index.places()) {
    if (place.nano_batch != nano_batch) continue;
    if (!places.empty() && places[0].document != place.document) {
      AddDocument(places);
      places.clear();
    }
    places.push_back(place);
  }
  if (!places.empty()) AddDocument(places);
}

void GreedyBalancer::AddDocument(absl::Span<const ShardPlace> places) {
  // Rings come from outside in: the first shard and the last lie together, and so on.
  const int64_t slice_end = places.back().end;
  while (!places.empty()) {
    const ShardPlace& head = places.front();
    const ShardPlace& tail = places.back();
    Item item{head.document, head.home, head.home};
    item.slice_end = slice_end;
    if (places.size() > 1 && tail.home == head.home) {
      item.rings = std::min(head.rows(), tail.rows());
      item.head_end = head.end;
      item.tail_begin = tail.begin;
      RALLY_CHECK(head.rows() == item.rings && tail.rows() <= item.rings + 1, "not a ring");
      AddItem(item);
      if (tail.rows() > item.rings) {
        item.rings = 0;
        item.tail_begin = tail.end - 1;
        AddItem(item);
      }
      places = places.subspan(1, places.size() - 2);
      continue;
    }
    // The innermost shard, whole; or the single row of a ring of one, behind the others.
    const bool innermost = places.size() == 1;
    const ShardPlace& only = innermost ? head : tail;
    item.home = item.server = only.home;
    item.rings = only.rows() / 2;
    item.head_end = only.begin + item.rings;
    item.tail_begin = only.end - item.rings;
    if (item.rings > 0) AddItem(item);
    if (only.rows() % 2 == 1) {
      item.rings = 0;
      item.tail_begin = item.head_end;
      AddItem(item);
    }
    places.remove_suffix(1);
  }
}

void GreedyBalancer::AddItem(Item item) {
  item.pairs = PairsOf(item, item.rings);
  surplus_[static_cast<size_t>(item.server)] += static_cast<double>(item.pairs);
  items_.push_back(item);
}

int64_t GreedyBalancer::PairsOf(const Item& item, int64_t rings) const {
  const int64_t tail_end = item.tail_begin + std::max<int64_t>(rings, 1);
  const int64_t head_begin = item.head_end - rings;
  return AllowedPairs(head_begin, item.head_end, 0, item.head_end, mask_) +
         AllowedPairs(item.tail_begin, tail_end, 0, tail_end, mask_);
}

double GreedyBalancer::BytesPerPair(const Item& item, double pairs) const {
  const double rings = pairs / static_cast<double>(item.head_end + item.tail_begin + 1);
  const auto keys = static_cast<double>(item.slice_end + 1);
  return (rings * query_row_bytes_ + keys * key_value_row_bytes_) / pairs;
}

double GreedyBalancer::MostPairs(const Item& item, double needed) const {
  return std::min(
      {surplus_[static_cast<size_t>(item.server)], needed, static_cast<double>(item.pairs)});
}

std::vector<CaTask> GreedyBalancer::Run() {
  std::vector<int32_t> servers;
  double total = 0.0;
  for (int32_t rank = 0; rank < topology_.ranks(); ++rank) {
    total += surplus_[static_cast<size_t>(rank)];
    if (topology_.weight(rank) > 0.0) servers.push_back(rank);
  }
  RALLY_CHECK(!servers.empty(), "every server is excluded");
  mean_ = total / static_cast<double>(servers.size());
  for (const int32_t server : servers) surplus_[static_cast<size_t>(server)] -= mean_;
  std::stable_sort(servers.begin(), servers.end(), [this](int32_t a, int32_t b) {
    return surplus_[static_cast<size_t>(a)] < surplus_[static_cast<size_t>(b)];
  });
  for (const int32_t server : servers) Fill(server);
  LeaveOtherRanks();
  return CollectTasks();
}

void GreedyBalancer::Fill(int32_t server) {
  double needed = -surplus_[static_cast<size_t>(server)];
  while (needed > tolerance_ * mean_) {
    size_t best = items_.size();
    double best_bytes = 0.0;
    for (size_t i = 0; i < items_.size(); ++i) {
      const double pairs = MostPairs(items_[i], needed);
      if (pairs <= 0.0) continue;
      const double bytes = BytesPerPair(items_[i], pairs);
      if (best < items_.size() && bytes >= best_bytes) continue;
      best = i;
      best_bytes = bytes;
    }
    if (best == items_.size()) return;
    const int64_t moved = Move(best, MostPairs(items_[best], needed), server);
    if (moved == 0) return;
    needed -= static_cast<double>(moved);
  }
}

int64_t GreedyBalancer::Move(size_t index, double wanted, int32_t server) {
  Item& item = items_[index];
  const int32_t from = item.server;
  int64_t moved = item.pairs;
  if (wanted >= static_cast<double>(item.pairs)) {
    item.server = server;
  } else {
    const auto pairs_of = [this, &item](int64_t rings) { return PairsOf(item, rings); };
    const int64_t rings = MostRings(item.rings, wanted, pairs_of);
    if (rings == 0) return 0;
    Item inner = item;
    inner.server = server;
    inner.rings = rings;
    inner.pairs = moved = PairsOf(item, rings);
    item.head_end -= rings;
    item.tail_begin += rings;
    item.rings -= rings;
    item.pairs -= moved;
    items_.push_back(inner);
  }
  surplus_[static_cast<size_t>(from)] -= static_cast<double>(moved);
  surplus_[static_cast<size_t>(server)] += static_cast<double>(moved);
  return moved;
}

void GreedyBalancer::LeaveOtherRanks() {
  for (size_t i = 0; i < items_.size(); ++i) {
    if (topology_.weight(items_[i].server) > 0.0) continue;
    int32_t least = -1;
    for (int32_t rank = 0; rank < topology_.ranks(); ++rank) {
      if (topology_.weight(rank) <= 0.0) continue;
      if (least < 0 || surplus_[static_cast<size_t>(rank)] < surplus_[static_cast<size_t>(least)]) {
        least = rank;
      }
    }
    Move(i, static_cast<double>(items_[i].pairs), least);
  }
}

std::vector<CaTask> GreedyBalancer::CollectTasks() const {
  struct Rows {
    int32_t document;
    int64_t begin;
    int64_t end;
    int32_t home;
    int32_t server;
  };
  std::vector<Rows> rows;
  for (const Item& item : items_) {
    const int64_t tail_end = item.tail_begin + std::max<int64_t>(item.rings, 1);
    if (item.rings > 0) {
      rows.push_back(
          {item.document, item.head_end - item.rings, item.head_end, item.home, item.server});
    }
    rows.push_back({item.document, item.tail_begin, tail_end, item.home, item.server});
  }
  std::sort(rows.begin(), rows.end(), [](const Rows& a, const Rows& b) {
    return std::tie(a.document, a.begin) < std::tie(b.document, b.begin);
  });
  std::vector<CaTask> tasks;
  for (size_t i = 0; i < rows.size();) {
    // Neighbours that stayed, or came, together are one task.
    size_t next = i + 1;
    while (next < rows.size() && rows[next].document == rows[i].document &&
           rows[next].begin == rows[next - 1].end && rows[next].home == rows[i].home &&
           rows[next].server == rows[i].server) {
      ++next;
    }
    const int64_t end = rows[next - 1].end;
    tasks.push_back({rows[i].document, rows[i].begin, end, FirstAllowedKey(rows[i].begin, mask_),
                     end, rows[i].server});
    i = next;
  }
  return tasks;
}

}  // namespace rally
