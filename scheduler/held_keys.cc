#include "scheduler/held_keys.h"

#include <algorithm>

namespace rally {
namespace {

constexpr size_t kFewHolders = 8;  // Are looked through one by one.

}  // namespace

size_t HeldKeys::Find(int32_t rank, const Document& document) {
  const auto& holders = document.holders;
  if (document.by_rank.empty()) {
    const auto found = std::find_if(holders.begin(), holders.end(),
                                    [rank](const Holder& holder) { return holder.rank == rank; });
    return static_cast<size_t>(found - holders.begin());
  }
  const auto found = std::lower_bound(document.by_rank.begin(), document.by_rank.end(),
                                      std::pair(rank, size_t{0}));
  const bool known = found != document.by_rank.end() && found->first == rank;
  return known ? found->second : holders.size();
}

void HeldKeys::Add(int32_t rank, Document* document) {
  auto& [holders, by_rank] = *document;
  holders.emplace_back().rank = rank;
  if (holders.size() <= kFewHolders) return;
  if (!by_rank.empty()) {
    const std::pair<int32_t, size_t> place(rank, holders.size() - 1);
    by_rank.insert(std::lower_bound(by_rank.begin(), by_rank.end(), place), place);
    return;
  }
  for (size_t i = 0; i < holders.size(); ++i) by_rank.push_back({holders[i].rank, i});
  std::sort(by_rank.begin(), by_rank.end());
}

void HeldKeys::Hold(int32_t document, int32_t rank, int64_t begin, int64_t end) {
  if (begin >= end) return;
  Document& held = documents_[document];
  const size_t place = Find(rank, held);
  if (place == held.holders.size()) Add(rank, &held);
  auto& ranges = held.holders[place].ranges;
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

absl::Span<const RowRange> HeldKeys::ranges(int32_t document, int32_t rank) const {
  const Document& held = documents_[document];
  const size_t place = Find(rank, held);
  if (place == held.holders.size()) return {};
  return held.holders[place].ranges;
}

int64_t HeldKeys::Missing(int32_t document, int32_t rank, int64_t begin, int64_t end) const {
  int64_t missing = std::max<int64_t>(0, end - begin);
  for (const RowRange& range : ranges(document, rank)) {
    missing -= std::max<int64_t>(0, std::min(end, range.end) - std::max(begin, range.begin));
  }
  return missing;
}

}  // namespace rally
