#include "scheduler/plan_traffic.h"

#include <cstddef>

#include "scheduler/phase_routes.h"

namespace rally {
namespace {

constexpr double kFloat32Bytes = 4.0;

// Bytes of one row.
struct RowWidths {
  RowWidths(const ModelShape& model, int64_t element_bytes)
      : query(static_cast<double>(element_bytes * QueryRowElements(model))),
        keys(static_cast<double>(element_bytes * KeyValueRowElements(model))),
        lse(kFloat32Bytes * static_cast<double>(model.heads)) {}

  const double query;  // As wide as an output row and their gradients.
  const double keys;   // A key and a value row.
  const double lse;    // Of every head; delta's too.
};

void AddPhase(const PhaseRoutes& phase, const Topology& topology, PlanTraffic* traffic) {
  for (const Route& route : phase.routes) {
    if (route.home == route.server) continue;
    const auto link = static_cast<size_t>(topology.link(route.home, route.server));
    traffic->to_servers[static_cast<size_t>(route.server)][link] +=
        RemoteRows{route.query_rows, route.kv_rows};
  }
}

}  // namespace

RemoteRows& RemoteRows::operator+=(const RemoteRows& other) {
  queries += other.queries;
  keys += other.keys;
  return *this;
}

RowsByLink PlanTraffic::total() const {
  RowsByLink total;
  for (const RowsByLink& rows : to_servers) {
    for (size_t link = 0; link < total.size(); ++link) total[link] += rows[link];
  }
  return total;
}

PlanTraffic CountTraffic(const Plan& plan, const Topology& topology) {
  PlanTraffic traffic;
  traffic.to_servers.resize(static_cast<size_t>(plan.ranks()));
  for (size_t micro_batch = 0; micro_batch < plan.micro_batches.size(); ++micro_batch) {
    for (int nano_batch = 0; nano_batch < kNanoBatches; ++nano_batch) {
      AddPhase(RoutePhase(plan, static_cast<int>(micro_batch), nano_batch), topology, &traffic);
    }
  }
  return traffic;
}

double RequestBytes(const RemoteRows& rows, Direction direction, const ModelShape& model,
                    int64_t element_bytes) {
  const RowWidths widths(model, element_bytes);
  const double per_query =
      direction == Direction::kForward ? widths.query : 2.0 * widths.query + 2.0 * widths.lse;
  return per_query * static_cast<double>(rows.queries) +
         widths.keys * static_cast<double>(rows.keys);
}

double ReplyBytes(const RemoteRows& rows, Direction direction, const ModelShape& model,
                  int64_t element_bytes) {
  const RowWidths widths(model, element_bytes);
  const auto queries = static_cast<double>(rows.queries);
  if (direction == Direction::kForward) return (widths.query + widths.lse) * queries;
  return widths.query * queries + widths.keys * static_cast<double>(rows.keys);
}

double LayerBytes(const RemoteRows& rows, Direction direction, const ModelShape& model,
                  int64_t element_bytes) {
  return RequestBytes(rows, direction, model, element_bytes) +
         ReplyBytes(rows, direction, model, element_bytes);
}

BytesByLink LayerBytes(const RowsByLink& rows, Direction direction, const ModelShape& model,
                       int64_t element_bytes) {
  BytesByLink bytes = {};
  for (size_t link = 0; link < bytes.size(); ++link) {
    bytes[link] = LayerBytes(rows[link], direction, model, element_bytes);
  }
  return bytes;
}

}  // namespace rally
