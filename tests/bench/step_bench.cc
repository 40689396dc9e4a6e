#include "tests/bench/step_bench.h"

#include <cmath>
#include <memory>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <nlohmann/json.hpp>

#include "common/median.h"
#include "common/status_macros.h"
#include "tests/bench/bench_plans.h"
#include "tests/bench/libtorch_loop.h"
#include "tests/bench/made_up_tokens.h"
#include "tests/bench/rank_group.h"
#include "workers/model/trainer.h"

namespace rally::bench {
namespace {

constexpr int64_t kTokens = 4096;
// Sums of some thousand float32 terms in other orders.
constexpr double kSameLoss = 1e-4;

JobSpec BenchJob() {
  JobSpec spec;
  spec.model.layers = 4;
  spec.model.hidden_size = 512;
  spec.model.feed_forward_size = 1408;
  spec.model.heads = 8;
  spec.model.kv_heads = 4;
  spec.model.head_dim = 64;
  spec.model.vocabulary = 4096;
  spec.batch = {.chunk_tokens = kTokens, .chunks = 1, .max_document_tokens = kTokens};
  spec.workers = 1;
  return spec;
}

// Medians over the pairs of one document length.
struct Measured {
  std::vector<double> rally;     // Tokens a second.
  std::vector<double> libtorch;  // Tokens a second.
  std::vector<double> ratio;
  std::vector<double> rally_attention;  // Shares of the step.
  std::vector<double> rally_waiting;
  std::vector<double> libtorch_attention;
};

class StepBench {
 public:
  explicit StepBench(const StepBenchOptions& options) : options_(options), spec_(BenchJob()) {}

  // The worker's process must be there before LibTorch has threads here.
  absl::Status Start() {
    RankGroupOptions options;
    options.spec = spec_;
    RALLY_ASSIGN_OR_RETURN(group_, RankGroup::Start(options));
    RALLY_ASSIGN_OR_RETURN(loop_, MakeLibtorchLoop(spec_, 1));
    return absl::OkStatus();
  }

  absl::StatusOr<nlohmann::ordered_json> Measure(int32_t document_tokens) {
    const std::vector<int64_t> lengths(static_cast<size_t>(kTokens / document_tokens),
                                       document_tokens);
    RALLY_ASSIGN_OR_RETURN(const Plan plan, MakeBenchPlan(spec_, {lengths}, false));
    const std::vector<std::vector<int32_t>> documents = Documents(lengths);
    Measured measured;
    for (int pair = 0; pair <= options_.repeats; ++pair) {
      RALLY_ASSIGN_OR_RETURN(const RoundTimes round, group_->Run(plan));
      RALLY_ASSIGN_OR_RETURN(const LibtorchLoop::Step step, loop_->Run(documents));
      RALLY_RETURN_IF_ERROR(CheckFirstLoss(round.loss, step.loss));
      if (pair > 0) Add(round, step, &measured);  // After a warm-up.
    }
    return nlohmann::ordered_json{
        {"document_tokens", document_tokens},
        {"rally_tokens_per_second", Median(measured.rally)},
        {"libtorch_tokens_per_second", Median(measured.libtorch)},
        {"ratio", Median(measured.ratio)},
        {"rally_attention_share", Median(measured.rally_attention)},
        {"rally_waiting_share", Median(measured.rally_waiting)},
        {"libtorch_attention_forward_share", Median(measured.libtorch_attention)}};
  }

 private:
  std::vector<std::vector<int32_t>> Documents(const std::vector<int64_t>& lengths) const {
    std::vector<std::vector<int32_t>> documents;
    for (const int64_t length : lengths) {
      const auto source = static_cast<int64_t>(documents.size());
      documents.emplace_back(static_cast<size_t>(length));
      MakeUpTokens(spec_.model.vocabulary, source, 0, absl::MakeSpan(documents.back()));
    }
    return documents;
  }

  // Later ones follow other learning rates.
  absl::Status CheckFirstLoss(double rally, double libtorch) {
    if (std::exchange(checked_, true)) return absl::OkStatus();
    if (std::abs(rally - libtorch) <= kSameLoss * libtorch) return absl::OkStatus();
    return absl::InternalError(
        absl::StrCat("not the same training: first loss ", rally, ", LibTorch's ", libtorch));
  }

  static void Add(const RoundTimes& round, const LibtorchLoop::Step& step, Measured* measured) {
    const double seconds = absl::ToDoubleSeconds(round.wall);
    measured->rally.push_back(kTokens / seconds);
    measured->libtorch.push_back(kTokens / step.seconds);
    measured->ratio.push_back(step.seconds / seconds);
    measured->rally_attention.push_back(absl::FDivDuration(round.ranks[0].attention, round.wall));
    measured->rally_waiting.push_back(absl::FDivDuration(round.ranks[0].waiting, round.wall));
    measured->libtorch_attention.push_back(step.attention_seconds / step.seconds);
  }

  const StepBenchOptions& options_;
  const JobSpec spec_;
  std::unique_ptr<RankGroup> group_;
  std::unique_ptr<LibtorchLoop> loop_;
  bool checked_ = false;
};

void WriteRow(const nlohmann::ordered_json& row, std::ostream& out) {
  out << absl::StreamFormat(
             "%5d tokens a document: %7.0f tokens/s, LibTorch %7.0f, ratio %5.2f; core attention "
             "%4.1f %%, waiting %4.1f %%; LibTorch's attention forward %4.1f %%",
             row["document_tokens"].get<int>(), row["rally_tokens_per_second"].get<double>(),
             row["libtorch_tokens_per_second"].get<double>(), row["ratio"].get<double>(),
             100.0 * row["rally_attention_share"].get<double>(),
             100.0 * row["rally_waiting_share"].get<double>(),
             100.0 * row["libtorch_attention_forward_share"].get<double>())
      << std::endl;
}

}  // namespace

absl::Status RunStepBench(const StepBenchOptions& options, std::ostream& out) {
  for (const int32_t tokens : options.document_tokens) {
    if (tokens < 2 || kTokens % tokens != 0) {
      return absl::InvalidArgumentError(
          absl::StrCat("--document-tokens=", tokens, ": must be at least 2 and divide ", kTokens));
    }
  }
  PrepareProcessForTraining();  // The loop too is better off with the worker's allocator.
  StepBench bench(options);
  RALLY_RETURN_IF_ERROR(bench.Start());
  auto rows = nlohmann::ordered_json::array();
  for (const int32_t tokens : options.document_tokens) {
    RALLY_ASSIGN_OR_RETURN(nlohmann::ordered_json row, bench.Measure(tokens));
    if (!options.json) WriteRow(row, out);
    rows.push_back(std::move(row));
  }
  if (options.json) out << rows.dump(2) << "\n";
  return absl::OkStatus();
}

}  // namespace rally::bench
