// PlanTraffic: the rows, and from them the bytes, that cross between ranks in one layer of a plan.
//
// It counts what the routes carry (phase_routes.h), without making them: a query row once for
// every task that a server other than its home has of it, with an output row and an LSE back; a key
// and value row once per phase and server. What stays on its rank is not counted.
//
// Pure functions, any thread. Cost: O(tasks log tasks) a phase.
#ifndef RALLY_SCHEDULER_PLAN_TRAFFIC_H_
#define RALLY_SCHEDULER_PLAN_TRAFFIC_H_

#include <array>
#include <cstdint>
#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/types/span.h>

#include "scheduler/model_shape.h"
#include "scheduler/phase.h"
#include "scheduler/plan.h"
#include "scheduler/shard_index.h"
#include "scheduler/topology.h"

namespace rally {

// Rows that leave their home.
struct RemoteRows {
  int64_t queries = 0;
  int64_t keys = 0;  // Key rows, each with its value row.

  RemoteRows& operator+=(const RemoteRows& other);
  friend bool operator==(const RemoteRows&, const RemoteRows&) = default;
};

// By LinkClass; nothing crosses within a process.
using RowsByLink = std::array<RemoteRows, kLinkClasses>;
using BytesByLink = std::array<double, kLinkClasses>;

struct PlanTraffic {
  std::vector<RowsByLink> to_servers;  // Rows that each rank is sent to serve. [ranks]

  RowsByLink total() const;
};

// Called with a home, a server and rows that the one sends to the other. The rows of one pair may
// come in several calls.
using RemoteRowsVisitor =
    absl::FunctionRef<void(int32_t home, int32_t server, const RemoteRows& rows)>;

// Of one phase: `tasks` of the micro-batch that `index` is of, each with its queries in one shard.
void VisitRemoteRows(const ShardIndex& index, absl::Span<const CaTask> tasks,
                     RemoteRowsVisitor visit);

// Of the whole plan: all micro-batches and nano-batches.
PlanTraffic CountTraffic(const Plan& plan, const Topology& topology);

// Bytes of rows with their answers, both ways together. `element_bytes` is the size of one element
// of a row; LSE and delta are float32 always.
//   forward   a query row: q out, output back, an LSE per head; a key row: k and v out
//   backward  a query row: q and dO out, dQ back, LSE and delta; a key row: k and v, dK and dV
double LayerBytes(const RemoteRows& rows, Direction direction, const ModelShape& model,
                  int64_t element_bytes);
BytesByLink LayerBytes(const RowsByLink& rows, Direction direction, const ModelShape& model,
                       int64_t element_bytes);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PLAN_TRAFFIC_H_
