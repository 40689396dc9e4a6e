#include "scheduler/task_traffic.h"

#include <algorithm>
#include <iterator>

namespace rally {
namespace {

// Rows of [begin, end) that `place` holds.
int64_t CommonRows(int64_t begin, int64_t end, int64_t place_begin, int64_t place_end) {
  return std::max<int64_t>(0, std::min(end, place_end) - std::max(begin, place_begin));
}

}  // namespace

TaskTraffic::TaskTraffic(const ShardIndex* index, const ModelShape& shape)
    : index_(index),
      query_row_bytes_(2.0 * sizeof(float) * static_cast<double>(QueryRowElements(shape))),
      key_value_row_bytes_(1.0 * sizeof(float) * static_cast<double>(KeyValueRowElements(shape))) {}

double TaskTraffic::QueryBytes(int64_t rows) const {
  return query_row_bytes_ * static_cast<double>(rows);
}

double TaskTraffic::Bytes(const CaTask& task, int32_t home) const {
  const auto held = held_.find({task.server, task.document});
  int64_t missing = 0;
  for (const ShardPlace& place : index_->Find(task.document, task.kv_begin, task.kv_end)) {
    if (place.home == task.server) continue;
    const int64_t begin = std::max(task.kv_begin, place.begin);
    const int64_t end = std::min(task.kv_end, place.end);
    missing += end - begin;
    if (held == held_.end()) continue;
    auto range = held->second.upper_bound(begin);
    if (range != held->second.begin()) --range;
    for (; range != held->second.end() && range->first < end; ++range) {
      missing -= CommonRows(begin, end, range->first, range->second);
    }
  }
  const double queries = home == task.server ? 0.0 : QueryBytes(task.q_rows());
  return queries + key_value_row_bytes_ * static_cast<double>(missing);
}

void TaskTraffic::Hold(const CaTask& task) {
  RowRanges& ranges = held_[{task.server, task.document}];
  int64_t begin = task.kv_begin;
  int64_t end = task.kv_end;
  auto range = ranges.upper_bound(begin);
  if (range != ranges.begin() && std::prev(range)->second >= begin) --range;
  while (range != ranges.end() && range->first <= end) {
    begin = std::min(begin, range->first);
    end = std::max(end, range->second);
    range = ranges.erase(range);
  }
  ranges[begin] = end;
}

}  // namespace rally
