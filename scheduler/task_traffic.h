// TaskTraffic: the bytes that a CA-task makes travel, given what its server has already.
//
// One object per phase. Counts one layer's forward pass in float32: query rows to the server and
// output rows back, unless the server is their home; key and value rows, unless the server is
// their home or was given them for another task (Hold). Backward moves the same rows again, so that
// comparisons hold for both.
//
// Thread-compatible. The index is borrowed.
#ifndef RALLY_SCHEDULER_TASK_TRAFFIC_H_
#define RALLY_SCHEDULER_TASK_TRAFFIC_H_

#include <cstdint>
#include <map>
#include <utility>

#include "scheduler/ca_task.h"
#include "scheduler/model_shape.h"
#include "scheduler/shard_index.h"

namespace rally {

class TaskTraffic {
 public:
  TaskTraffic(const ShardIndex* index, const ModelShape& shape);

  // Bytes to compute `task`, whose queries live at `home`, on task.server.
  double Bytes(const CaTask& task, int32_t home) const;

  // Bytes of `rows` query rows out and their output rows back.
  double QueryBytes(int64_t rows) const;

  // The task's keys are on its server from now on.
  void Hold(const CaTask& task);

 private:
  // Disjoint row ranges, begin to end, that do not touch.
  using RowRanges = std::map<int64_t, int64_t>;

  const ShardIndex* const index_;
  const double query_row_bytes_;
  const double key_value_row_bytes_;
  std::map<std::pair<int32_t, int32_t>, RowRanges> held_;  // By server, document.
};

}  // namespace rally

#endif  // RALLY_SCHEDULER_TASK_TRAFFIC_H_
