#include "tests/bench/balance_bench.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/median.h"
#include "common/status_macros.h"
#include "tests/bench/bench_plans.h"
#include "tests/bench/peak_flops.h"
#include "tests/bench/rank_group.h"

namespace rally::bench {
namespace {

constexpr double kEnoughCores = 1.8;
constexpr int32_t kPacedWorkers = 8;

struct Ratios {
  double ideal = 0.0;
  double measured = 0.0;
  double cores = 0.0;

  double share() const { return measured / ideal; }
};

JobSpec BenchJob(int32_t workers, int64_t chunk_tokens) {
  JobSpec spec;
  spec.model.layers = 2;
  spec.model.hidden_size = 256;
  spec.model.feed_forward_size = 704;
  spec.model.heads = 4;
  spec.model.kv_heads = 2;
  spec.model.head_dim = 64;
  spec.model.vocabulary = 257;
  spec.batch = {
      .chunk_tokens = chunk_tokens, .chunks = workers, .max_document_tokens = chunk_tokens};
  spec.workers = workers;
  spec.attention.in_place = true;
  spec.attention.tolerance = 0.02;
  return spec;
}

// Slowest rank's compute over the mean: what perfect balance would gain.
double IdealRatio(const RoundTimes& times) {
  double slowest = 0.0;
  double sum = 0.0;
  for (const RankTimes& rank : times.ranks) {
    const double seconds = absl::ToDoubleSeconds(rank.compute);
    slowest = std::max(slowest, seconds);
    sum += seconds;
  }
  return slowest * static_cast<double>(times.ranks.size()) / sum;
}

// Alternates rounds without and with planning on one group of processes.
absl::StatusOr<Ratios> Measure(const RankGroupOptions& options, const ChunkLengths& lengths,
                               int pairs) {
  RALLY_ASSIGN_OR_RETURN(const Plan local, MakeBenchPlan(options.spec, lengths, false));
  RALLY_ASSIGN_OR_RETURN(const Plan balanced, MakeBenchPlan(options.spec, lengths, true));
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<RankGroup> group, RankGroup::Start(options));
  RALLY_RETURN_IF_ERROR(group->Run(local).status());  // Warm-up: buffers, code, allocator.
  RALLY_RETURN_IF_ERROR(group->Run(balanced).status());
  std::vector<double> ideal;
  std::vector<double> measured;
  std::vector<double> cores;
  for (int pair = 0; pair < pairs; ++pair) {
    RALLY_ASSIGN_OR_RETURN(const RoundTimes without, group->Run(local));
    RALLY_ASSIGN_OR_RETURN(const RoundTimes with, group->Run(balanced));
    ideal.push_back(IdealRatio(without));
    measured.push_back(absl::FDivDuration(without.wall, with.wall));
    cores.push_back(MeasurePeakGflops(2) / MeasurePeakGflops(1));
  }
  return Ratios{Median(ideal), Median(measured), Median(cores)};
}

absl::StatusOr<Ratios> MeasureReal(const BalanceBenchOptions& options) {
  RankGroupOptions group;
  group.spec = BenchJob(2, 16384);
  group.cpus = {0, 1};
  Ratios best;
  for (int attempt = 0; attempt < options.attempts && best.cores < kEnoughCores; ++attempt) {
    RALLY_ASSIGN_OR_RETURN(
        best,
        Measure(group, OneLongDocument(2, group.spec.batch.chunk_tokens, 128), options.pairs));
  }
  return best;
}

// Small tensors and a slow modelled device: the time goes into the modelled compute.
absl::StatusOr<Ratios> MeasurePaced(const BalanceBenchOptions& options) {
  RankGroupOptions group;
  group.spec = BenchJob(kPacedWorkers, 2048);
  group.spec.model.hidden_size = 32;
  group.spec.model.feed_forward_size = 32;
  group.spec.model.kv_heads = 1;
  group.spec.model.head_dim = 32;
  group.paced = PacedCompute{.attention_flops_per_second = 2e9, .linear_seconds_per_token = 20e-6};
  return Measure(group, OneLongDocument(kPacedWorkers, group.spec.batch.chunk_tokens, 64),
                 options.pairs);
}

}  // namespace

absl::Status RunBalanceBench(const BalanceBenchOptions& options, std::ostream& out) {
  RALLY_ASSIGN_OR_RETURN(const Ratios paced, MeasurePaced(options));
  RALLY_ASSIGN_OR_RETURN(const Ratios real, MeasureReal(options));
  if (options.json) {
    const nlohmann::ordered_json report = {{"ideal_ratio", real.ideal},
                                           {"measured_ratio", real.measured},
                                           {"cores", real.cores},
                                           {"share_of_ideal", real.share()},
                                           {"paced",
                                            {{"workers", kPacedWorkers},
                                             {"ideal_ratio", paced.ideal},
                                             {"measured_ratio", paced.measured},
                                             {"share_of_ideal", paced.share()}}}};
    out << report.dump() << "\n";
    return absl::OkStatus();
  }
  out << "Two workers, one core each: planning is worth " << real.measured << " of an ideal "
      << real.ideal << " (" << 100 * real.share() << " %) with " << real.cores << " cores\n"
      << kPacedWorkers << " workers, paced: " << paced.measured << " of an ideal " << paced.ideal
      << " (" << 100 * paced.share() << " %)\n";
  return absl::OkStatus();
}

}  // namespace rally::bench
