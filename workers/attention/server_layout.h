// ServerLayout: where the rows of one server's CA-tasks lie in the messages of a phase.
//
// A function of the phase's tasks alone: the same for every layer and both directions. Key rows
// that follow each other in a document form a block. A block that comes from one route is used
// where it lies in that route's messages; one that comes from several is assembled in scratch rows,
// once a phase.
//
// Plain data; immutable once made.
#ifndef RALLY_WORKERS_ATTENTION_SERVER_LAYOUT_H_
#define RALLY_WORKERS_ATTENTION_SERVER_LAYOUT_H_

#include <cstdint>
#include <vector>

#include "scheduler/ca_task.h"
#include "scheduler/phase_routes.h"
#include "scheduler/plan.h"

namespace rally {

// `rows` key rows: in the messages of a route, and in the block.
struct KeySegment {
  int32_t route = 0;      // Index into ServerLayout::routes.
  int64_t route_row = 0;  // Of the route's kv_rows.
  int64_t block_row = 0;
  int64_t rows = 0;
};

// Key rows [begin, end) of a document.
struct KeyBlock {
  int32_t document = 0;
  int64_t begin = 0;
  int64_t end = 0;
  std::vector<KeySegment> segments;  // In order, without gaps.
  int64_t scratch_row = 0;           // First row in scratch; unused when the block is in place.

  bool in_place() const { return segments.size() == 1; }
};

struct ServerTask {
  CaTask task;
  int32_t route = 0;      // Index into ServerLayout::routes.
  int64_t query_row = 0;  // First row of the route's query_rows.
  int32_t block = 0;      // Index into ServerLayout::blocks.
};

struct ServerLayout {
  std::vector<Route> routes;      // That end at the server, by home.
  std::vector<ServerTask> tasks;  // In the phase's order.
  std::vector<KeyBlock> blocks;   // By document, then position.
  int64_t scratch_rows = 0;       // Of all blocks that are not in place.
  int64_t pairs = 0;              // Allowed pairs of all tasks.
};

// `tasks` are a phase's, or some of them, of a micro-batch of a plan that has passed CheckPlan.
ServerLayout MakeServerLayout(const MicroBatch& micro_batch, const std::vector<CaTask>& tasks,
                              int32_t server, AttentionMask mask);

}  // namespace rally

#endif  // RALLY_WORKERS_ATTENTION_SERVER_LAYOUT_H_
