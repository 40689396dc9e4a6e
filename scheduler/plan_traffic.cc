#include "scheduler/plan_traffic.h"

#include <algorithm>
#include <cstddef>
#include <tuple>

namespace rally {
namespace {

constexpr double kFloat32Bytes = 4.0;

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

void VisitRemoteRows(const ShardIndex& index, absl::Span<const CaTask> tasks,
                     RemoteRowsVisitor visit) {
  std::vector<CaTask> ordered(tasks.begin(), tasks.end());
  std::sort(ordered.begin(), ordered.end(), [](const CaTask& a, const CaTask& b) {
    return std::tie(a.server, a.document, a.kv_begin) < std::tie(b.server, b.document, b.kv_begin);
  });
  int64_t sent = 0;  // Of this server and document, keys before this are counted.
  for (size_t i = 0; i < ordered.size(); ++i) {
    const CaTask& task = ordered[i];
    const bool same =
        i > 0 && ordered[i - 1].server == task.server && ordered[i - 1].document == task.document;
    const int64_t begin = std::max(same ? sent : 0, task.kv_begin);
    sent = std::max(same ? sent : 0, task.kv_end);
    const ShardPlace& home = index.Find(task.document, task.q_begin, task.q_end)[0];
    if (home.home != task.server) visit(home.home, task.server, {task.q_rows(), 0});
    // The common case needs no second look: a task at home with all of its keys.
    const bool at_home = home.home == task.server && home.begin <= begin && task.kv_end <= home.end;
    if (at_home || begin >= task.kv_end) continue;
    for (const ShardPlace& place : index.Find(task.document, begin, task.kv_end)) {
      if (place.home == task.server) continue;
      const int64_t keys = std::min(place.end, task.kv_end) - std::max(place.begin, begin);
      visit(place.home, task.server, {0, keys});
    }
  }
}

PlanTraffic CountTraffic(const Plan& plan, const Topology& topology) {
  PlanTraffic traffic;
  traffic.to_servers.resize(static_cast<size_t>(plan.ranks()));
  for (const MicroBatch& micro_batch : plan.micro_batches) {
    const ShardIndex index(micro_batch);
    for (const std::vector<CaTask>& tasks : micro_batch.tasks) {
      VisitRemoteRows(index, tasks, [&](int32_t home, int32_t server, const RemoteRows& rows) {
        const auto link = static_cast<size_t>(topology.link(home, server));
        traffic.to_servers[static_cast<size_t>(server)][link] += rows;
      });
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
