#include "tests/bench/pingpong_bench.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <nlohmann/json.hpp>

#include "common/median.h"
#include "common/status_macros.h"
#include "scheduler/phase.h"
#include "tests/bench/bench_plans.h"
#include "tests/bench/rank_group.h"

namespace rally::bench {
namespace {

// Attention and linear layers weigh about the same per phase.
JobSpec BenchJob() {
  JobSpec spec;
  spec.model.layers = 8;
  spec.model.hidden_size = 128;
  spec.model.feed_forward_size = 384;
  spec.model.heads = 4;
  spec.model.kv_heads = 2;
  spec.model.head_dim = 64;
  spec.model.vocabulary = 257;
  spec.batch = {.chunk_tokens = 4096, .chunks = 2, .max_document_tokens = 4096};
  spec.workers = 2;
  spec.attention.in_place = true;
  spec.attention.tolerance = 0.02;
  return spec;
}

absl::StatusOr<Plan> PlanFor(JobSpec spec, bool ping_pong) {
  spec.training.ping_pong = ping_pong;
  // One long document for each nano-batch of the first worker, so that ping and pong weigh the same
  // and both need the network.
  ChunkLengths lengths = OneLongDocument(2, spec.batch.chunk_tokens, 256);
  lengths[0] = {spec.batch.chunk_tokens / 2, spec.batch.chunk_tokens / 2};
  return MakeBenchPlan(spec, lengths, true);
}

// Compute time of one phase of the mean rank, without any delay.
absl::StatusOr<absl::Duration> PhaseCompute(const RankGroupOptions& options, const Plan& plan,
                                            int rounds) {
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<RankGroup> group, RankGroup::Start(options));
  RALLY_RETURN_IF_ERROR(group->Run(plan).status());
  const auto phases = static_cast<double>(PhaseOrder(plan, options.spec.model.layers).size());
  std::vector<double> seconds;
  for (int round = 0; round < rounds; ++round) {
    RALLY_ASSIGN_OR_RETURN(const RoundTimes times, group->Run(plan));
    double sum = 0.0;
    for (const RankTimes& rank : times.ranks) sum += absl::ToDoubleSeconds(rank.compute);
    seconds.push_back(sum / static_cast<double>(times.ranks.size()) / phases);
  }
  return absl::Seconds(Median(seconds));
}

}  // namespace

absl::Status RunPingpongBench(const PingpongBenchOptions& options, std::ostream& out) {
  RankGroupOptions group_options;
  group_options.spec = BenchJob();
  group_options.cpus = {0, 1};
  RALLY_ASSIGN_OR_RETURN(const Plan on, PlanFor(group_options.spec, true));
  RALLY_ASSIGN_OR_RETURN(const Plan off, PlanFor(group_options.spec, false));
  RALLY_ASSIGN_OR_RETURN(const absl::Duration phase,
                         PhaseCompute(group_options, on, options.pairs));
  group_options.message_delay = phase / 2;
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<RankGroup> group, RankGroup::Start(group_options));
  RALLY_RETURN_IF_ERROR(group->Run(on).status());
  RALLY_RETURN_IF_ERROR(group->Run(off).status());
  std::vector<double> ratios;
  for (int pair = 0; pair < options.pairs; ++pair) {
    RALLY_ASSIGN_OR_RETURN(const RoundTimes without, group->Run(off));
    RALLY_ASSIGN_OR_RETURN(const RoundTimes with, group->Run(on));
    ratios.push_back(absl::FDivDuration(without.wall, with.wall));
  }
  const double milliseconds = absl::ToDoubleMilliseconds(phase);
  if (options.json) {
    const nlohmann::ordered_json report = {{"ratio", Median(ratios)},
                                           {"phase_compute_ms", milliseconds},
                                           {"message_delay_ms", milliseconds / 2}};
    out << report.dump() << "\n";
    return absl::OkStatus();
  }
  out << "Messages late by " << milliseconds / 2
      << " ms, half a phase's compute: ping-pong is worth " << Median(ratios) << "\n";
  return absl::OkStatus();
}

}  // namespace rally::bench
