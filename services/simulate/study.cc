#include "services/simulate/study.h"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/status_macros.h"
#include "scheduler/length_distribution.h"

namespace rally {
namespace {

// Smallest chunk worth trying, and most micro-batches of a replica.
constexpr int64_t kSmallestChunk = 16384;
constexpr int64_t kMostMicroBatches = 64;

// What the planners of a case are compared on.
struct StudyCase {
  const ScenarioRun* run = nullptr;
  std::string model;
  std::string distribution;
  TrainingSetup setup;  // Without planner; degrees that are to be the best are open.
  Degree tensor;        // One value each, or best.
  Degree pipeline;
  Degree dedicated;
  Degree chunk_tokens;
};

std::vector<int64_t> PowersOfTwo(int64_t first, int64_t last) {
  std::vector<int64_t> powers;
  for (int64_t power = first; power <= last; power *= 2) powers.push_back(power);
  return powers;
}

// One degree per value that is shown by itself.
std::vector<Degree> Swept(const Degree& degree, bool search) {
  if (search) return {{{}, true}};
  if (degree.best || degree.values.empty()) return {degree};
  std::vector<Degree> each;
  for (const int64_t value : degree.values) each.push_back({{value}});
  return each;
}

bool SharesDocuments(PlannerKind kind) {
  return kind == PlannerKind::kVariableLength || kind == PlannerKind::kContextParallel ||
         kind == PlannerKind::kRing;
}

class Study {
 public:
  Study(const Scenario& scenario, const StudyOptions& options)
      : scenario_(scenario), options_(options) {}

  absl::StatusOr<std::vector<StudyRow>> Run() {
    const std::vector<StudyCase> cases = Cases();
    size_t rows = 0;
    for (const StudyCase& of : cases) rows += of.run->planners.size();
    std::vector<StudyRow> result;
    for (const StudyCase& of : cases) {
      const size_t first = result.size();
      for (const std::string& planner : of.run->planners) {
        const auto go_on = [&] {
          return !options_.on_progress || options_.on_progress(result.size(), rows);
        };
        RALLY_ASSIGN_OR_RETURN(StudyRow row, BestRow(of, planner, go_on));
        result.push_back(std::move(row));
      }
      CompareWithBaseline(absl::MakeSpan(result).subspan(first));
    }
    if (options_.timeline && !result.empty()) RALLY_RETURN_IF_ERROR(AddTimeline(cases, &result));
    return result;
  }

 private:
  std::vector<StudyCase> Cases() const {
    std::vector<StudyCase> cases;
    for (const ScenarioRun& run : scenario_.runs) {
      for (const std::string& model : run.models) {
        for (const std::string& distribution : run.distributions) {
          for (const int64_t context : run.contexts) {
            for (size_t i = 0; i < run.gpus.size(); ++i) {
              StudyCase of{&run, model, distribution};
              of.setup.model = scenario_.models.at(model);
              of.setup.gpus = static_cast<int32_t>(run.gpus[i]);
              of.setup.gpus_per_node = scenario_.gpus_per_node;
              of.setup.peak_flops = scenario_.peak_flops;
              of.setup.memory_bytes = scenario_.memory_bytes;
              of.setup.context = context;
              of.setup.batch_tokens = context * run.batch[run.batch.size() == 1 ? 0 : i];
              AddDegrees(run, of, &cases);
            }
          }
        }
      }
    }
    return cases;
  }

  void AddDegrees(const ScenarioRun& run, StudyCase of, std::vector<StudyCase>* cases) const {
    for (const Degree& tensor : Swept(run.tensor, options_.search)) {
      for (const Degree& pipeline : Swept(run.pipeline, options_.search)) {
        for (const Degree& dedicated : Swept(run.dedicated, options_.search)) {
          for (const Degree& chunk : Swept(run.chunk_tokens, options_.search)) {
            of.tensor = tensor;
            of.pipeline = pipeline;
            of.dedicated = dedicated;
            of.chunk_tokens = chunk;
            cases->push_back(of);
          }
        }
      }
    }
  }

  // The values of a degree, or those to choose from.
  static std::vector<int64_t> Choices(const Degree& degree, std::vector<int64_t> all) {
    return degree.values.empty() ? std::move(all) : degree.values;
  }

  std::vector<TrainingSetup> Candidates(const StudyCase& of, const PlannerSetup& planner) const {
    std::vector<TrainingSetup> candidates;
    TrainingSetup setup = of.setup;
    setup.planner = planner.kind;
    setup.options = planner.options;
    setup.ping_pong = planner.ping_pong;
    setup.defer = planner.defer;
    const bool open = options_.search;
    const Degree& pipeline = planner.has_pipeline && !open ? planner.pipeline : of.pipeline;
    for (const int64_t tensor : Choices(of.tensor, PowersOfTwo(1, setup.gpus_per_node))) {
      setup.tensor = static_cast<int32_t>(tensor);
      if (setup.gpus % tensor != 0) continue;
      std::vector<int64_t> servers = {0};
      if (HasPool(planner.kind)) {
        servers.insert(servers.end(), {setup.devices() / 8, setup.devices() / 4});
      }
      for (const int64_t dedicated : Choices(of.dedicated, servers)) {
        setup.dedicated = static_cast<int32_t>(dedicated);
        for (const int64_t stages : Choices(pipeline, PowersOfTwo(1, 16))) {
          setup.pipeline = static_cast<int32_t>(stages);
          if (setup.workers() < stages) continue;
          AddChunks(of, planner, stages > 1 || pipeline.best, setup, &candidates);
        }
      }
    }
    return candidates;
  }

  // Every way to share documents and to cut a step into micro-batches.
  void AddChunks(const StudyCase& of, const PlannerSetup& planner, bool pipelined,
                 TrainingSetup setup, std::vector<TrainingSetup>* candidates) const {
    const Degree& chunk =
        planner.has_chunk_tokens && !options_.search ? planner.chunk_tokens : of.chunk_tokens;
    const int64_t of_replica = setup.batch_tokens / setup.replicas();
    for (const int64_t sharing :
         Choices(planner.context_parallel, PowersOfTwo(1, setup.replicas()))) {
      setup.options.context_parallel = static_cast<int32_t>(sharing);
      std::set<int64_t> chunks(chunk.values.begin(), chunk.values.end());
      if (pipelined && !planner.has_chunk_tokens && SharesDocuments(planner.kind) && sharing > 0) {
        chunks = {setup.context / sharing};  // A document's context on each group.
      } else if (chunks.empty() && !chunk.best && !pipelined) {
        chunks = {of_replica};
      } else if (chunks.empty()) {
        for (const int64_t parts : PowersOfTwo(1, kMostMicroBatches)) {
          chunks.insert({of_replica / parts, setup.context / parts});
        }
        const int64_t least = std::min({kSmallestChunk, setup.context, of_replica});
        chunks.erase(chunks.begin(), chunks.lower_bound(least));
      }
      for (const int64_t tokens : chunks) {
        setup.chunk_tokens = tokens;
        candidates->push_back(setup);
      }
    }
  }

  template <typename GoOn>
  absl::StatusOr<StudyRow> BestRow(const StudyCase& of, const std::string& planner,
                                   const GoOn& go_on) {
    StudyRow best;
    best.setting = of.run->setting;
    best.model = of.model;
    best.distribution = of.distribution;
    best.planner = planner;
    best.setup = of.setup;
    best.status = absl::InvalidArgumentError("no parallel degrees fit");
    bool found = false;
    for (const TrainingSetup& setup : Candidates(of, scenario_.planners.at(planner))) {
      if (!go_on()) return absl::CancelledError("stopped");
      absl::StatusOr<SetupForecast> forecast = Forecast(of, setup, /*timeline=*/false);
      if (!forecast.ok()) {
        if (!found) best.status = forecast.status();
        continue;
      }
      if (found && forecast->step_seconds >= best.forecast.step_seconds) continue;
      found = true;
      best.status = absl::OkStatus();
      best.setup = setup;
      best.forecast = *std::move(forecast);
      best.forecast.last = {};
    }
    return best;
  }

  absl::StatusOr<SetupForecast> Forecast(const StudyCase& of, const TrainingSetup& setup,
                                         bool timeline) {
    RALLY_RETURN_IF_ERROR(CheckSetup(setup));
    return ForecastSetup(setup, *scenario_.costs, Lengths(of), of.run->batches,
                         of.run->disturbances, timeline);
  }

  // Enough for every planner, deferring ones too; the same for all of them.
  const std::vector<int64_t>& Lengths(const StudyCase& of) {
    const int64_t tokens = of.setup.batch_tokens * (2 * of.run->batches + 1);
    std::vector<int64_t>& lengths =
        lengths_[std::make_tuple(of.distribution, of.setup.context, tokens)];
    if (lengths.empty()) {
      lengths = SampleLengths(scenario_.distributions.at(of.distribution), of.setup.context, tokens,
                              static_cast<uint64_t>(scenario_.seed));
    }
    return lengths;
  }

  void CompareWithBaseline(absl::Span<StudyRow> rows) const {
    for (const StudyRow& baseline : rows) {
      if (baseline.planner != scenario_.baseline || !baseline.status.ok()) continue;
      for (StudyRow& row : rows) {
        if (!row.status.ok()) continue;
        row.speedup = baseline.forecast.step_seconds / row.forecast.step_seconds;
      }
    }
  }

  absl::Status AddTimeline(const std::vector<StudyCase>& cases, std::vector<StudyRow>* rows) {
    StudyRow& row = rows->back();
    if (!row.status.ok()) return row.status;
    RALLY_ASSIGN_OR_RETURN(SetupForecast forecast,
                           Forecast(cases.back(), row.setup, /*timeline=*/true));
    row.forecast.last = std::move(forecast.last);
    return absl::OkStatus();
  }

  const Scenario& scenario_;
  const StudyOptions& options_;
  std::map<std::tuple<std::string, int64_t, int64_t>, std::vector<int64_t>> lengths_;
};

}  // namespace

absl::StatusOr<std::vector<StudyRow>> RunStudy(const Scenario& scenario,
                                               const StudyOptions& options) {
  return Study(scenario, options).Run();
}

}  // namespace rally
