#include "workers/attention/server_layout.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "common/check.h"

namespace rally {
namespace {

// Key rows [begin, end) of a document, in one route.
struct RouteKeys {
  int32_t document = 0;
  int64_t begin = 0;
  int64_t end = 0;
  int32_t route = 0;
  int64_t route_row = 0;
};

std::vector<RouteKeys> KeysInDocumentOrder(const std::vector<Route>& routes) {
  std::vector<RouteKeys> keys;
  for (size_t r = 0; r < routes.size(); ++r) {
    int64_t row = 0;
    for (const HomeRows& rows : routes[r].keys) {
      keys.push_back({rows.document, rows.begin, rows.end, static_cast<int32_t>(r), row});
      row += rows.rows();
    }
  }
  std::sort(keys.begin(), keys.end(), [](const RouteKeys& a, const RouteKeys& b) {
    return std::tie(a.document, a.begin) < std::tie(b.document, b.begin);
  });
  return keys;
}

std::vector<KeyBlock> MakeBlocks(const std::vector<Route>& routes) {
  std::vector<KeyBlock> blocks;
  for (const RouteKeys& keys : KeysInDocumentOrder(routes)) {
    const bool follows = !blocks.empty() && blocks.back().document == keys.document &&
                         blocks.back().end == keys.begin;
    if (!follows) blocks.push_back({keys.document, keys.begin, keys.begin});
    KeyBlock& block = blocks.back();
    const int64_t rows = keys.end - keys.begin;
    const bool extends =
        !block.segments.empty() && block.segments.back().route == keys.route &&
        block.segments.back().route_row + block.segments.back().rows == keys.route_row;
    if (extends) {
      block.segments.back().rows += rows;
    } else {
      block.segments.push_back({keys.route, keys.route_row, block.end - block.begin, rows});
    }
    block.end = keys.end;
  }
  return blocks;
}

int32_t FindBlock(const std::vector<KeyBlock>& blocks, const CaTask& task) {
  const auto block =
      std::partition_point(blocks.begin(), blocks.end(), [&task](const KeyBlock& candidate) {
        return candidate.document < task.document ||
               (candidate.document == task.document && candidate.end <= task.kv_begin);
      });
  RALLY_CHECK(block != blocks.end() && block->document == task.document &&
                  block->begin <= task.kv_begin && task.kv_end <= block->end,
              "the routes bring every key of a task");
  return static_cast<int32_t>(block - blocks.begin());
}

}  // namespace

ServerLayout MakeServerLayout(const MicroBatch& micro_batch, const std::vector<CaTask>& tasks,
                              int32_t server, AttentionMask mask) {
  ServerLayout layout;
  const PhaseRoutes phase_routes = RouteTasks(micro_batch, tasks);
  for (const Route* route : phase_routes.ToServer(server)) layout.routes.push_back(*route);
  layout.blocks = MakeBlocks(layout.routes);
  for (KeyBlock& block : layout.blocks) {
    if (block.in_place()) continue;
    block.scratch_row = layout.scratch_rows;
    layout.scratch_rows += block.end - block.begin;
  }
  std::vector<std::pair<int32_t, ServerTask>> by_index;
  for (size_t r = 0; r < layout.routes.size(); ++r) {
    const Route& route = layout.routes[r];
    int64_t row = 0;
    for (size_t i = 0; i < route.tasks.size(); ++i) {
      const CaTask& task = tasks[route.tasks[i]];
      by_index.push_back(
          {route.tasks[i], {task, static_cast<int32_t>(r), row, FindBlock(layout.blocks, task)}});
      row += route.queries[i].rows();
      layout.pairs += AllowedPairs(task, mask);
    }
  }
  std::sort(by_index.begin(), by_index.end(),
            [](const auto& a, const auto& b) { return a.first < b.first; });
  for (auto& [index, task] : by_index) layout.tasks.push_back(task);
  return layout;
}

}  // namespace rally
