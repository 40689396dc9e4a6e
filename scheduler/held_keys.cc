#include "scheduler/held_keys.h"

#include <algorithm>

namespace rally {

void HeldKeys::Hold(int32_t document, int32_t rank, int64_t begin, int64_t end) {
  if (begin >= end) return;
  auto& holders = holders_[document];
  auto holder = std::find_if(holders.begin(), holders.end(),
                             [rank](const Holder& h) { return h.rank == rank; });
  if (holder == holders.end()) {
    Holder& added = holders.emplace_back();
    added.rank = rank;
    added.ranges.push_back({begin, end});
    return;
  }
  auto& ranges = holder->ranges;
  // The ranges that touch [begin, end) become one with it.
  const auto first = std::partition_point(ranges.begin(), ranges.end(),
                                          [begin](const RowRange& r) { return r.end < begin; });
  const auto last = std::partition_point(first, ranges.end(),
                                         [end](const RowRange& r) { return r.begin <= end; });
  if (first == last) {
    ranges.insert(first, RowRange{begin, end});
    return;
  }
  first->begin = std::min(first->begin, begin);
  first->end = std::max(std::prev(last)->end, end);
  ranges.erase(std::next(first), last);
}

int64_t HeldKeys::Missing(int32_t document, int32_t rank, int64_t begin, int64_t end) const {
  int64_t missing = std::max<int64_t>(0, end - begin);
  for (const Holder& holder : holders_[document]) {
    if (holder.rank != rank) continue;
    for (const RowRange& range : holder.ranges) {
      missing -= std::max<int64_t>(0, std::min(end, range.end) - std::max(begin, range.begin));
    }
  }
  return missing;
}

}  // namespace rally
