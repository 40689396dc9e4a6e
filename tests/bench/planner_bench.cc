#include "tests/bench/planner_bench.h"

#include <time.h>

#include <algorithm>
#include <iomanip>
#include <memory>
#include <random>
#include <utility>

#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <nlohmann/json.hpp>

#include "common/median.h"
#include "common/status_macros.h"
#include "scheduler/check_plan.h"
#include "scheduler/plan_traffic.h"
#include "scheduler/planner.h"
#include "tests/scheduler/plan_builders.h"

namespace rally::bench {
namespace {

constexpr int64_t kChunkTokens = 131072;
constexpr double kMedianTokens = 1100.0;  // The mean is about three times that.
constexpr double kTolerance = 0.02;
constexpr int64_t kElementBytes = 2;

// One batch that fills its servers, and what planning it took.
struct Size {
  int32_t servers = 0;
  GlobalBatch batch;
  std::vector<double> seconds;
  std::vector<double> wall_seconds;
  double max_over_mean = 0.0;
  double bytes_per_token = 0.0;

  size_t documents() const { return batch.groups[0].size(); }
};

Size MakeSize(int32_t servers) {
  Size size;
  size.servers = servers;
  std::vector<Document>& documents = size.batch.groups.emplace_back();
  std::mt19937_64 random(static_cast<uint64_t>(servers));
  int64_t left = servers * kChunkTokens;
  while (left > 0) {
    for (int64_t length : test::HeavyTailedLengths(1000, kMedianTokens, kChunkTokens, &random)) {
      length = std::min(length, left);
      if (length == 0) break;
      documents.push_back({static_cast<int64_t>(documents.size()), 0, length, length - 1});
      left -= length;
    }
  }
  return size;
}

// One document that is the whole batch: work moves between any two servers.
Size MakeLongestSize(int32_t servers) {
  Size size;
  size.servers = servers;
  const int64_t length = servers * kChunkTokens;
  size.batch.groups.push_back({{0, 0, length, length - 1}});
  return size;
}

double ThreadSeconds() {
  timespec time = {};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + 1e-9 * static_cast<double>(time.tv_nsec);
}

absl::Status PlanOnce(Planner* planner, Size* size) {
  PlanInput input;
  input.batch = &size->batch;
  input.shape = {kChunkTokens, size->servers, kChunkTokens * size->servers};
  input.topology = {size->servers, 0, true};
  input.model.heads = 32;  // Llama-3 8B.
  input.model.kv_heads = 8;
  input.model.head_dim = 128;
  input.ping_pong = false;
  const double start = ThreadSeconds();
  const absl::Time wall_start = absl::Now();
  RALLY_ASSIGN_OR_RETURN(const PlannedBatch planned, planner->MakePlan(input));
  size->wall_seconds.push_back(absl::ToDoubleSeconds(absl::Now() - wall_start));
  size->seconds.push_back(ThreadSeconds() - start);
  if (size->seconds.size() > 1) return absl::OkStatus();
  RALLY_RETURN_IF_ERROR(CheckPlan(planned.plan, input.model.mask));
  size->max_over_mean = planned.report.largest_over_share;
  const RowsByLink rows = CountTraffic(planned.plan, input.topology).total();
  for (const double bytes : LayerBytes(rows, Direction::kForward, input.model, kElementBytes)) {
    size->bytes_per_token += bytes / static_cast<double>(TokenCount(planned.plan));
  }
  return absl::OkStatus();
}

void WriteTable(const std::vector<Size>& sizes, std::ostream& out) {
  out << "servers  documents  median ms  clock ms  max/mean  bytes/token\n" << std::fixed;
  for (const Size& size : sizes) {
    out << std::setw(7) << size.servers << std::setw(11) << size.documents() << std::setprecision(2)
        << std::setw(11) << 1e3 * Median(size.seconds) << std::setw(10)
        << 1e3 * Median(size.wall_seconds) << std::setprecision(4) << std::setw(10)
        << size.max_over_mean << std::setprecision(0) << std::setw(13) << size.bytes_per_token
        << "\n";
  }
}

}  // namespace

absl::Status RunPlannerBench(const PlannerBenchOptions& options, std::ostream& out) {
  PlannerOptions planner_options;
  planner_options.tolerance = kTolerance;
  planner_options.element_bytes = kElementBytes;
  const std::unique_ptr<Planner> planner = MakePlanner(PlannerKind::kRally, planner_options);
  std::vector<Size> sizes;
  for (const int32_t servers : options.servers) {
    sizes.push_back(MakeSize(servers));
    sizes.push_back(MakeLongestSize(servers));
  }
  for (int repeat = 0; repeat < options.repeats; ++repeat) {
    for (Size& size : sizes) RALLY_RETURN_IF_ERROR(PlanOnce(planner.get(), &size));
  }
  if (!options.json) {
    WriteTable(sizes, out);
    return absl::OkStatus();
  }
  nlohmann::ordered_json report = nlohmann::ordered_json::array();
  for (const Size& size : sizes) {
    report.push_back({{"servers", size.servers},
                      {"documents", size.documents()},
                      {"median_seconds", Median(size.seconds)},
                      {"median_wall_seconds", Median(size.wall_seconds)},
                      {"max_over_mean", size.max_over_mean},
                      {"forward_bytes_per_token", size.bytes_per_token}});
  }
  out << report.dump() << "\n";
  return absl::OkStatus();
}

}  // namespace rally::bench
