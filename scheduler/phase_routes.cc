#include "scheduler/phase_routes.h"

#include <algorithm>
#include <map>
#include <tuple>
#include <utility>

#include "common/check.h"
#include "scheduler/shard_index.h"

namespace rally {
namespace {

// Routes by (home, server), which is also their order.
using RouteMap = std::map<std::pair<int32_t, int32_t>, Route>;

// Key rows [begin, end) of a document that a server needs.
struct KeyRange {
  int32_t server = 0;
  int32_t document = 0;
  int64_t begin = 0;
  int64_t end = 0;
};

HomeRows RowsIn(const ShardPlace& place, int64_t begin, int64_t end) {
  begin = std::max(begin, place.begin);
  end = std::min(end, place.end);
  return {place.document, begin, end, place.nano_batch, place.row + begin - place.begin};
}

Route& RouteBetween(int32_t home, int32_t server, RouteMap* routes) {
  Route& route = (*routes)[{home, server}];
  route.home = home;
  route.server = server;
  return route;
}

void AddQueries(const ShardIndex& index, const std::vector<CaTask>& tasks, RouteMap* routes) {
  for (size_t i = 0; i < tasks.size(); ++i) {
    const CaTask& task = tasks[i];
    const auto places = index.Find(task.document, task.q_begin, task.q_end);
    RALLY_CHECK(places.size() == 1, "a task's queries lie in one shard of a checked plan");
    Route& route = RouteBetween(places[0].home, task.server, routes);
    route.queries.push_back(RowsIn(places[0], task.q_begin, task.q_end));
    route.tasks.push_back(static_cast<int32_t>(i));
    route.query_rows += task.q_rows();
  }
}

// The tasks' key ranges, each row of a document once per server.
std::vector<KeyRange> MergedKeyRanges(const std::vector<CaTask>& tasks) {
  std::vector<KeyRange> ranges;
  ranges.reserve(tasks.size());
  for (const CaTask& task : tasks) {
    ranges.push_back({task.server, task.document, task.kv_begin, task.kv_end});
  }
  std::sort(ranges.begin(), ranges.end(), [](const KeyRange& a, const KeyRange& b) {
    return std::tie(a.server, a.document, a.begin) < std::tie(b.server, b.document, b.begin);
  });
  std::vector<KeyRange> merged;
  for (const KeyRange& range : ranges) {
    if (!merged.empty() && merged.back().server == range.server &&
        merged.back().document == range.document && range.begin <= merged.back().end) {
      merged.back().end = std::max(merged.back().end, range.end);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

void AddKeys(const ShardIndex& index, const std::vector<CaTask>& tasks, RouteMap* routes) {
  for (const KeyRange& range : MergedKeyRanges(tasks)) {
    for (const ShardPlace& place : index.Find(range.document, range.begin, range.end)) {
      Route& route = RouteBetween(place.home, range.server, routes);
      route.keys.push_back(RowsIn(place, range.begin, range.end));
      route.kv_rows += route.keys.back().rows();
    }
  }
}

}  // namespace

std::vector<const Route*> PhaseRoutes::FromHome(int32_t home) const {
  std::vector<const Route*> found;
  for (const Route& route : routes) {
    if (route.home == home) found.push_back(&route);
  }
  return found;
}

std::vector<const Route*> PhaseRoutes::ToServer(int32_t server) const {
  std::vector<const Route*> found;
  for (const Route& route : routes) {
    if (route.server == server) found.push_back(&route);
  }
  return found;
}

PhaseRoutes RoutePhase(const Plan& plan, int micro_batch, int nano_batch) {
  const MicroBatch& batch = plan.micro_batches[micro_batch];
  return RouteTasks(batch, batch.tasks[nano_batch]);
}

PhaseRoutes RouteTasks(const MicroBatch& micro_batch, const std::vector<CaTask>& tasks) {
  const ShardIndex index(micro_batch);
  RouteMap by_ends;
  AddQueries(index, tasks, &by_ends);
  AddKeys(index, tasks, &by_ends);
  PhaseRoutes result;
  result.routes.reserve(by_ends.size());
  for (auto& [ends, route] : by_ends) result.routes.push_back(std::move(route));
  return result;
}

}  // namespace rally
