#include "scheduler/plan_traffic.h"

#include <cstddef>

#include "scheduler/phase_routes.h"

namespace rally {
namespace {

constexpr double kFloat32Bytes = 4.0;

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

double LayerBytes(const RemoteRows& rows, Direction direction, const ModelShape& model,
                  int64_t element_bytes) {
  const bool forward = direction == Direction::kForward;
  const auto query = static_cast<double>(element_bytes * QueryRowElements(model));
  const auto key = static_cast<double>(element_bytes * KeyValueRowElements(model));
  const double lse = kFloat32Bytes * static_cast<double>(model.heads);
  const double per_query = forward ? 2.0 * query + lse : 3.0 * query + 2.0 * lse;
  const double per_key = forward ? key : 2.0 * key;
  return static_cast<double>(rows.queries) * per_query + static_cast<double>(rows.keys) * per_key;
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
