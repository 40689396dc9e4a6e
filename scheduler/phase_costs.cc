#include "scheduler/phase_costs.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "scheduler/phase_routes.h"

namespace rally {
namespace {

constexpr Direction kBothDirections[] = {Direction::kForward, Direction::kBackward};

void AddExchange(const Route& route, const DeviceShape& device, PhaseCosts* phase) {
  Exchange exchange{route.home, route.server};
  PhaseCosts::Part& home = phase->parts[route.home];
  PhaseCosts::Part& server = phase->parts[route.server];
  for (const Direction direction : kBothDirections) {
    const auto d = static_cast<size_t>(direction);
    exchange.request_bytes[d] = device.RequestBytes(direction, route);
    exchange.reply_bytes[d] = device.ReplyBytes(direction, route);
    if (exchange.reply_bytes[d] > 0.0) ++home.replies[d];
    home.pack_seconds[d] += exchange.request_bytes[d];
    home.merge_seconds[d] += exchange.reply_bytes[d];
    server.attend_seconds[d] += exchange.request_bytes[d] + exchange.reply_bytes[d];
  }
  if (route.home != route.server) server.key_value_bytes += device.KeyValueBytes(route.kv_rows);
  const auto index = static_cast<int32_t>(phase->exchanges.size());
  home.as_home.push_back(index);
  server.as_server.push_back(index);
  phase->exchanges.push_back(exchange);
}

// From the bytes gathered so far to seconds.
void PriceBytes(const CostModel& costs, PhaseCosts::Part* part) {
  for (const Direction direction : kBothDirections) {
    const auto d = static_cast<size_t>(direction);
    const double fixed = costs.PhaseSeconds(direction, 0.0);
    const auto seconds = [&](double bytes) { return costs.PhaseSeconds(direction, bytes) - fixed; };
    part->pack_seconds[d] = seconds(part->pack_seconds[d]);
    part->merge_seconds[d] = seconds(part->merge_seconds[d]);
    part->attend_seconds[d] =
        part->as_server.empty() ? 0.0 : fixed + seconds(part->attend_seconds[d]);
  }
}

}  // namespace

PhaseCosts CostsOfPhase(const Plan& plan, int micro_batch, int nano_batch,
                        const DeviceShape& device, const CostModel& costs) {
  PhaseCosts phase;
  phase.parts.resize(static_cast<size_t>(plan.ranks()));
  const PhaseRoutes routes = RoutePhase(plan, micro_batch, nano_batch);
  phase.exchanges.reserve(routes.routes.size());
  for (const Route& route : routes.routes) AddExchange(route, device, &phase);
  for (PhaseCosts::Part& part : phase.parts) PriceBytes(costs, &part);
  for (const CaTask& task : plan.micro_batches[micro_batch].tasks[nano_batch]) {
    for (const Direction direction : kBothDirections) {
      phase.parts[task.server].attend_seconds[static_cast<size_t>(direction)] +=
          device.TaskSeconds(direction, task);
    }
  }
  return phase;
}

PhaseTable CostsOfPlan(const Plan& plan, const DeviceShape& device, const CostModel& costs) {
  PhaseTable table(plan.micro_batches.size());
  for (size_t m = 0; m < table.size(); ++m) {
    for (int nano = 0; nano < kNanoBatches; ++nano) {
      table[m][nano] = CostsOfPhase(plan, static_cast<int>(m), nano, device, costs);
    }
  }
  return table;
}

Plan WithoutServer(const Plan& plan, int32_t server, const std::vector<int32_t>& others,
                   AttentionMask mask) {
  Plan changed = plan;
  if (others.empty()) return changed;
  for (MicroBatch& micro_batch : changed.micro_batches) {
    for (std::vector<CaTask>& tasks : micro_batch.tasks) {
      std::vector<std::pair<int64_t, size_t>> orphans;  // Pairs, index.
      for (size_t i = 0; i < tasks.size(); ++i) {
        if (tasks[i].server == server) orphans.emplace_back(-AllowedPairs(tasks[i], mask), i);
      }
      std::sort(orphans.begin(), orphans.end());
      std::vector<int64_t> taken(others.size());
      for (const auto& [pairs, index] : orphans) {
        const size_t least = std::min_element(taken.begin(), taken.end()) - taken.begin();
        taken[least] -= pairs;
        tasks[index].server = others[least];
      }
    }
  }
  return changed;
}

}  // namespace rally
