#include "services/simulate/scenario.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "services/profile/profile_file.h"
#include "services/simulate/scenario_reader.h"

namespace rally {
namespace {

constexpr int64_t kMostTokens = int64_t{1} << 31;
constexpr int64_t kMostGpus = 65536;
constexpr int64_t kMostLayers = 10'000;
constexpr int64_t kMostBatches = 1000;
constexpr int64_t kMostWidth = 1 << 24;

class ScenarioParser {
 public:
  ScenarioParser(std::string file, Scenario* scenario)
      : file_(std::move(file)),
        folder_(std::filesystem::path(file_).parent_path().string()),
        scenario_(*scenario) {}

  absl::Status Parse(const YAML::Node& root) {
    ScenarioReader reader(root, file_, "", &status_);
    ReadCluster(&reader);
    ReadModels(&reader);
    ReadDistributions(&reader);
    ReadPlanners(&reader);
    reader.Read("baseline", &scenario_.baseline);
    if (!scenario_.baseline.empty() && scenario_.planners.count(scenario_.baseline) == 0) {
      reader.Fail("baseline", absl::StrCat(scenario_.baseline, " is none of the planners: ",
                                           absl::StrJoin(scenario_.planner_order, ", ")));
    }
    ReadRuns(&reader);
    reader.Finish();
    return status_;
  }

 private:
  std::string PathOf(const std::string& name) const {
    const std::filesystem::path path(name);
    return path.is_absolute() ? name : (std::filesystem::path(folder_) / path).string();
  }

  void ReadCluster(ScenarioReader* reader) {
    reader->Require("profile");
    std::string profile;
    reader->Read("profile", &profile);
    reader->Read("gpus_per_node", 1, kMostGpus, &scenario_.gpus_per_node);
    double teraflops = 0.0;
    reader->Read("peak_tflops", 0.0, 1e6, &teraflops);
    scenario_.peak_flops = teraflops * 1e12;
    double gigabytes = 0.0;
    reader->Read("memory_gb", 0.0, 1e6, &gigabytes);
    scenario_.memory_bytes = gigabytes * 1e9;
    reader->Read("batches", 1, kMostBatches, &scenario_.batches);
    reader->Read("seed", 0, INT64_MAX, &scenario_.seed);
    if (!reader->ok()) return;
    absl::StatusOr<CostModel> costs = ReadProfileFile(PathOf(profile));
    if (!costs.ok()) return reader->Fail("profile", std::string(costs.status().message()));
    scenario_.costs = *std::move(costs);
  }

  // Calls `read(name, reader)` for each entry of a mapping of mappings.
  template <typename ReadEntry>
  void ReadEntries(ScenarioReader* reader, const char* key, const ReadEntry& read) {
    reader->Require(key);
    const YAML::Node entries = reader->Take(key);
    if (!reader->ok()) return;
    if (!entries.IsMap() || entries.size() == 0) {
      return reader->Fail(key, "is not a mapping of names to what they stand for");
    }
    for (const auto& entry : entries) {
      const std::string name = entry.first.as<std::string>("?");
      ScenarioReader inside = reader->Inside(absl::StrCat(key, ".", name), entry.second);
      if (inside.ok()) read(name, &inside);
      inside.Finish();
    }
  }

  void ReadModels(ScenarioReader* reader) {
    ReadEntries(reader, "models", [this](const std::string& name, ScenarioReader* entry) {
      ModelShape model;
      for (const char* key : {"layers", "hidden_size", "feed_forward_size", "heads", "kv_heads"}) {
        entry->Require(key);
      }
      entry->Read("layers", 1, kMostLayers, &model.layers);
      entry->Read("hidden_size", 1, kMostWidth, &model.hidden_size);
      entry->Read("feed_forward_size", 1, kMostWidth, &model.feed_forward_size);
      entry->Read("heads", 1, kMostWidth, &model.heads);
      entry->Read("kv_heads", 1, model.heads, &model.kv_heads);
      model.head_dim = 128;
      entry->Read("head_dim", 1, kMostWidth, &model.head_dim);
      entry->Read("vocabulary", 0, kMostWidth, &model.vocabulary);
      entry->Read("sliding_window", 0, kMostTokens, &model.mask.window);
      if (entry->ok() && model.heads % model.kv_heads != 0) {
        entry->Fail("kv_heads",
                    absl::StrCat(model.kv_heads, " does not divide ", model.heads, " heads"));
      }
      scenario_.models[name] = model;
    });
  }

  void ReadDistributions(ScenarioReader* reader) {
    ReadEntries(reader, "distributions", [this](const std::string& name, ScenarioReader* entry) {
      LengthDistribution distribution;
      if (entry->Has("quantiles") == entry->Has("lengths")) {
        entry->Fail("", "needs either quantiles, a file, or lengths, a list");
      }
      std::string file;
      entry->Read("quantiles", &file);
      entry->Read("lengths", 1, kMostTokens, &distribution.lengths);
      entry->Read("long_tokens", 1, kMostTokens, &distribution.long_tokens);
      entry->Read("long_weight", 1.0, 1e6, &distribution.long_weight);
      entry->Read("whole_context", 0.0, 1.0, &distribution.whole_context);
      entry->Read("stretch_from", 1, kMostTokens, &distribution.stretch_from);
      if (!file.empty() && entry->ok()) ReadQuantiles(file, entry, &distribution);
      scenario_.distributions[name] = distribution;
    });
  }

  void ReadQuantiles(const std::string& file, ScenarioReader* entry,
                     LengthDistribution* distribution) {
    const absl::StatusOr<std::string> text = ReadFile(PathOf(file));
    if (!text.ok()) return entry->Fail("quantiles", std::string(text.status().message()));
    auto quantiles = ParseQuantiles(*text);
    if (!quantiles.ok()) {
      return entry->Fail("quantiles", absl::StrCat(file, ": ", quantiles.status().message()));
    }
    distribution->quantiles = *std::move(quantiles);
  }

  void ReadPlanners(ScenarioReader* reader) {
    ReadEntries(reader, "planners", [this](const std::string& name, ScenarioReader* entry) {
      PlannerSetup setup;
      std::string kind = name;
      entry->Read("planner", &kind);
      const absl::StatusOr<PlannerKind> parsed = ParsePlannerName(kind);
      if (!parsed.ok()) return entry->Fail("planner", std::string(parsed.status().message()));
      setup.kind = *parsed;
      entry->Read("ping_pong", &setup.ping_pong);
      entry->Read("defer", &setup.defer);
      if (setup.kind == PlannerKind::kRally) setup.options.tolerance = 0.0;  // Its own choice.
      entry->Read("tolerance", 0.0, 1.0, &setup.options.tolerance);
      entry->Read("chunk_token_limit", 1.0, 1e6, &setup.options.chunk_token_limit);
      ReadDegree("context_parallel", 0, entry, &setup.context_parallel);
      setup.has_pipeline = entry->Has("pipeline");
      ReadDegree("pipeline", 1, entry, &setup.pipeline);
      setup.has_chunk_tokens = entry->Has("chunk_tokens");
      ReadDegree("chunk_tokens", 1, entry, &setup.chunk_tokens);
      const bool defers =
          setup.kind == PlannerKind::kVariableLength || setup.kind == PlannerKind::kHybrid;
      if (setup.defer && !defers) {
        entry->Fail("defer", "goes with variable_length and hybrid alone");
      }
      scenario_.planners[name] = setup;
      scenario_.planner_order.push_back(name);
    });
  }

  // N, [N, ...], best, or {best: [N, ...]}.
  void ReadDegree(const char* key, int64_t low, ScenarioReader* reader, Degree* degree) {
    if (!reader->Has(key)) return;
    YAML::Node node = reader->Take(key);
    degree->best = false;
    if (node.IsScalar() && node.Scalar() == "best") {
      *degree = {{}, true};
    } else if (node.IsMap()) {
      ScenarioReader inside = reader->Inside(key, node);
      inside.Require("best");
      inside.Read("best", low, kMostTokens, &degree->values);
      inside.Finish();
      degree->best = true;
    } else {
      reader->Read(key, low, kMostTokens, &degree->values);
    }
  }

  void ReadRuns(ScenarioReader* reader) {
    reader->Require("runs");
    const YAML::Node runs = reader->Take("runs");
    if (!reader->ok()) return;
    if (!runs.IsSequence() || runs.size() == 0)
      return reader->Fail("runs", "is not a list of runs");
    for (size_t i = 0; i < runs.size(); ++i) {
      ScenarioReader entry = reader->Inside(absl::StrCat("runs[", i, "]"), runs[i]);
      if (entry.ok()) ReadRun(&entry);
      entry.Finish();
    }
  }

  void ReadRun(ScenarioReader* entry) {
    ScenarioRun run;
    run.planners = scenario_.planner_order;
    entry->Read("setting", &run.setting);
    ReadNames("model", scenario_.models, entry, &run.models);
    ReadNames("distribution", scenario_.distributions, entry, &run.distributions);
    ReadNames("planners", scenario_.planners, entry, &run.planners);
    for (const char* key : {"context", "gpus", "batch"}) entry->Require(key);
    entry->Read("context", 1, kMostTokens, &run.contexts);
    entry->Read("gpus", 1, kMostGpus, &run.gpus);
    entry->Read("batch", 1, kMostTokens, &run.batch);
    if (entry->ok() && run.batch.size() != 1 && run.batch.size() != run.gpus.size()) {
      entry->Fail("batch", absl::StrCat("has ", run.batch.size(), " values for ", run.gpus.size(),
                                        " of gpus; it takes one, or one for each"));
    }
    run.batches = scenario_.batches;
    entry->Read("batches", 1, kMostBatches, &run.batches);
    ReadDegree("tensor", 1, entry, &run.tensor);
    ReadDegree("pipeline", 1, entry, &run.pipeline);
    ReadDegree("dedicated", 0, entry, &run.dedicated);
    ReadDegree("chunk_tokens", 1, entry, &run.chunk_tokens);
    ReadDisturbances(entry, &run);
    scenario_.runs.push_back(std::move(run));
  }

  template <typename Named>
  void ReadNames(const char* key, const std::map<std::string, Named>& known, ScenarioReader* entry,
                 std::vector<std::string>* names) {
    if (names->empty()) {  // All that there are.
      for (const auto& [name, value] : known) names->push_back(name);
    }
    entry->Read(key, names);
    for (const std::string& name : *names) {
      if (known.count(name) > 0) continue;
      std::vector<std::string> all;
      for (const auto& [other, value] : known) all.push_back(other);
      entry->Fail(key, absl::StrCat(name, " is none of ", absl::StrJoin(all, ", ")));
    }
  }

  // speeds: {DEVICE: FACTOR}; failures: {DEVICE: SECONDS}; detection_seconds.
  void ReadDisturbances(ScenarioReader* entry, ScenarioRun* run) {
    entry->Read("detection_seconds", 0.0, 1e6, &run->disturbances.detection_seconds);
    ReadPerDevice("speeds", entry, [run](int64_t device, double factor) {
      run->disturbances.speeds[static_cast<int32_t>(device)] = factor;
    });
    ReadPerDevice("failures", entry, [run](int64_t device, double seconds) {
      run->disturbances.failures.push_back({static_cast<int32_t>(device), seconds});
    });
    std::sort(run->disturbances.failures.begin(), run->disturbances.failures.end(),
              [](const ServerFailure& a, const ServerFailure& b) { return a.seconds < b.seconds; });
  }

  template <typename Take>
  void ReadPerDevice(const char* key, ScenarioReader* entry, const Take& take) {
    const YAML::Node node = entry->Take(key);
    if (!entry->ok() || !node.IsDefined()) return;
    if (!node.IsMap()) return entry->Fail(key, "is not a mapping of devices to numbers");
    for (const auto& item : node) {
      int64_t device = -1;
      double value = -1.0;
      if (!YAML::convert<int64_t>::decode(item.first, device) ||
          !YAML::convert<double>::decode(item.second, value) || device < 0 || value < 0.0) {
        return entry->Fail(key, "is not a mapping of devices, from 0, to numbers of at least 0");
      }
      take(device, value);
    }
  }

  const std::string file_;
  const std::string folder_;
  Scenario& scenario_;
  absl::Status status_;
};

}  // namespace

absl::StatusOr<Scenario> ReadScenario(const std::string& path) {
  RALLY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  YAML::Node root;
  try {
    root = YAML::Load(text);
  } catch (const YAML::Exception& error) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ":", error.mark.line + 1, ": not YAML: ", error.msg));
  }
  Scenario scenario;
  RALLY_RETURN_IF_ERROR(ScenarioParser(path, &scenario).Parse(root));
  return scenario;
}

}  // namespace rally
