// PhaseRoutes: which rows travel between which ranks in one phase, in which order.
//
// A pure function of the plan that homes and servers both evaluate, so messages need no header:
// rows are packed in the order given here, in the parts that message_layout.h gives, and the
// receiver knows the exact size. A route from a rank to itself exists like any other; the transport
// keeps it in memory.
//
// Query rows of a row that several tasks of one route share are sent once per task. A route may
// carry keys alone; its forward reply is then empty, and empty messages are not sent.
#ifndef RALLY_SCHEDULER_PHASE_ROUTES_H_
#define RALLY_SCHEDULER_PHASE_ROUTES_H_

#include <cstdint>
#include <vector>

#include "scheduler/plan.h"

namespace rally {

// Rows [begin, end) of a document, and where they lie at home: `row` is the first one's row in
// nano-batch `nano_batch` of the home's chunk.
struct HomeRows {
  int32_t document = 0;
  int64_t begin = 0;
  int64_t end = 0;
  int32_t nano_batch = 0;
  int64_t row = 0;

  int64_t rows() const { return end - begin; }
  friend bool operator==(const HomeRows&, const HomeRows&) = default;
};

struct Route {
  int32_t home = 0;    // Worker rank that holds the rows.
  int32_t server = 0;  // Rank that computes.
  // Query rows, one entry per task of this home on this server, in the plan's task order.
  std::vector<HomeRows> queries;
  // Index into MicroBatch::tasks[nano_batch] of each entry of `queries`.
  std::vector<int32_t> tasks;
  // Key/value rows of this home that the server needs, over all its tasks (those of other homes
  // too): disjoint, each once, ordered by document, then position.
  std::vector<HomeRows> keys;
  int64_t query_rows = 0;  // Sum over queries.
  int64_t kv_rows = 0;     // Sum over keys.

  friend bool operator==(const Route&, const Route&) = default;
};

struct PhaseRoutes {
  std::vector<Route> routes;  // Ordered by home, then server; only pairs that exchange rows.

  // Routes that start at, or end at, one rank, in order. Pointers into `routes`.
  std::vector<const Route*> FromHome(int32_t home) const;
  std::vector<const Route*> ToServer(int32_t server) const;
};

// The plan must have passed CheckPlan. A task pulls its whole key range [kv_begin, kv_end):
// planners trim that range to what the mask allows.
PhaseRoutes RoutePhase(const Plan& plan, int micro_batch, int nano_batch);
// The same for some of a phase's tasks; Route::tasks then counts these.
PhaseRoutes RouteTasks(const MicroBatch& micro_batch, const std::vector<CaTask>& tasks);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PHASE_ROUTES_H_
