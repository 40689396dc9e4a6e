#include "workers/model/checkpoint.h"

#include <filesystem>
#include <set>
#include <system_error>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "workers/model/checkpoint_manifest.h"
#include "workers/model/model_config.h"
#include "workers/model/safetensors.h"

namespace rally {
namespace {

// One target per weight of `values`, which is of `layout`.
void AppendTargets(const WeightLayout& layout, const std::string& prefix, absl::Span<float> values,
                   std::vector<TensorTarget>* targets) {
  for (const WeightInfo& weight : layout.weights) {
    targets->push_back(
        {prefix + weight.name, weight.shape, values.subspan(weight.offset, weight.elements)});
  }
}

// Reads `targets` from all files of the folder whose names begin with `stem`.
absl::Status ReadTensors(const std::string& folder, const CheckpointManifest& manifest,
                         const std::string& stem, std::vector<TensorTarget> targets) {
  for (const auto& [name, checksum] : manifest.files) {
    if (!absl::StartsWith(name, stem) || !absl::EndsWith(name, ".safetensors")) continue;
    const std::string path = absl::StrCat(folder, "/", name);
    RALLY_ASSIGN_OR_RETURN(const std::set<std::string> here, SafetensorsNames(path));
    std::vector<TensorTarget> found;
    std::vector<TensorTarget> left;
    for (TensorTarget& target : targets) {
      (here.count(target.name) > 0 ? found : left).push_back(std::move(target));
    }
    RALLY_RETURN_IF_ERROR(ReadSafetensors(path, found));
    targets = std::move(left);
  }
  if (targets.empty()) return absl::OkStatus();
  return absl::DataLossError(
      absl::StrCat("no ", stem, " file of ", folder, " has tensor ", targets[0].name));
}

absl::StatusOr<TrainingPosition> ReadCheckpoint(const std::string& folder, const JobSpec& spec,
                                                const WeightLayout& layout,
                                                const CheckpointArrays& arrays) {
  RALLY_ASSIGN_OR_RETURN(const CheckpointManifest manifest, ReadCheckpointManifest(folder));
  RALLY_RETURN_IF_ERROR(VerifyCheckpointFiles(folder, manifest));
  RALLY_ASSIGN_OR_RETURN(const std::string config, ReadFile(absl::StrCat(folder, "/config.json")));
  RALLY_RETURN_IF_ERROR(Annotate(CheckModelConfig(config, spec), folder));
  std::vector<TensorTarget> model;
  AppendTargets(layout, "", arrays.values, &model);
  RALLY_RETURN_IF_ERROR(ReadTensors(folder, manifest, "model", std::move(model)));
  std::vector<TensorTarget> optimizer;
  AppendTargets(layout, "first_moment.", arrays.first_moment, &optimizer);
  AppendTargets(layout, "second_moment.", arrays.second_moment, &optimizer);
  RALLY_RETURN_IF_ERROR(ReadTensors(folder, manifest, "optimizer", std::move(optimizer)));
  return manifest.position;
}

// Aborted when a checkpoint goes while it is read: a list read now would be another one.
absl::StatusOr<RestoredCheckpoint> ReadNewestOfList(const JobSpec& spec, const WeightLayout& layout,
                                                    const CheckpointArrays& arrays) {
  RALLY_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, ListCheckpoints(spec.checkpoint));
  if (steps.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no checkpoint in \"", spec.checkpoint.directory, "\""));
  }
  RestoredCheckpoint restored;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    restored.directory = CheckpointPath(spec.checkpoint, *step);
    const absl::StatusOr<TrainingPosition> position =
        ReadCheckpoint(restored.directory, spec, layout, arrays);
    if (position.ok()) {
      restored.position = *position;
      return restored;
    }
    std::error_code error;
    if (!std::filesystem::exists(restored.directory, error) && !error) {
      return absl::AbortedError(absl::StrCat(restored.directory, " has gone while it was read"));
    }
    // A file that is missing is damage. One that cannot be read now may be whole.
    const bool damaged = absl::IsDataLoss(position.status()) || absl::IsNotFound(position.status());
    if (!damaged) return position.status();
    if (restored.damage.empty()) restored.damage = std::string(position.status().message());
    restored.damaged.push_back(*step);
  }
  return absl::DataLossError(absl::StrCat(restored.damage, "; no older checkpoint in ",
                                          spec.checkpoint.directory,
                                          " is whole: to start anew, choose another directory"));
}

}  // namespace

absl::StatusOr<RestoredCheckpoint> ReadNewestCheckpoint(const JobSpec& spec,
                                                        const WeightLayout& layout,
                                                        const CheckpointArrays& arrays) {
  // Another worker may set a damaged one aside, or one that was taken for dead remove an old one.
  constexpr int kAttempts = 10;
  absl::StatusOr<RestoredCheckpoint> restored;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    restored = ReadNewestOfList(spec, layout, arrays);
    if (!absl::IsAborted(restored.status())) break;
  }
  return restored;
}

}  // namespace rally
