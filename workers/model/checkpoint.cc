#include "workers/model/checkpoint.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>
#include <xxhash.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "workers/model/model_config.h"
#include "workers/model/safetensors.h"

namespace rally {
namespace {

namespace fs = std::filesystem;

constexpr int kVersion = 1;
constexpr const char* kModel = "model.safetensors";
constexpr const char* kConfig = "config.json";
constexpr const char* kOptimizer = "optimizer.safetensors";
constexpr const char* kTrainer = "trainer.json";

// One tensor per weight of `values`, which has `layout`. Tensor is TensorSource or TensorTarget.
template <typename Tensor>
void AppendTensors(const WeightLayout& layout, const std::string& prefix, absl::Span<float> values,
                   std::vector<Tensor>* tensors) {
  for (const WeightInfo& weight : layout.weights) {
    tensors->push_back(
        {prefix + weight.name, weight.shape, values.subspan(weight.offset, weight.elements)});
  }
}

template <typename Tensor>
std::vector<Tensor> ModelTensors(const WeightLayout& layout, const CheckpointArrays& arrays) {
  std::vector<Tensor> tensors;
  AppendTensors(layout, "", arrays.values, &tensors);
  return tensors;
}

template <typename Tensor>
std::vector<Tensor> OptimizerTensors(const WeightLayout& layout, const CheckpointArrays& arrays) {
  std::vector<Tensor> tensors;
  AppendTensors(layout, "first_moment.", arrays.first_moment, &tensors);
  AppendTensors(layout, "second_moment.", arrays.second_moment, &tensors);
  return tensors;
}

absl::StatusOr<std::string> ChecksumOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return absl::DataLossError(absl::StrCat(path, " is missing or cannot be read"));
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                       &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<char> block(1 << 20);
  while (file.read(block.data(), static_cast<std::streamsize>(block.size())) || file.gcount() > 0) {
    XXH3_64bits_update(state.get(), block.data(), static_cast<size_t>(file.gcount()));
  }
  if (file.bad()) return absl::DataLossError(absl::StrCat(path, " cannot be read"));
  return absl::StrFormat("%016x", XXH3_64bits_digest(state.get()));
}

absl::Status WriteManifest(const std::string& folder, const TrainingPosition& position) {
  nlohmann::ordered_json json;
  json["format"] = "rally-checkpoint";
  json["version"] = kVersion;
  json["step"] = position.step;
  json["data_position"] = {
      {"pass", position.data.pass}, {"index", position.data.index}, {"token", position.data.token}};
  for (const char* name : {kModel, kConfig, kOptimizer}) {
    RALLY_ASSIGN_OR_RETURN(json["xxh3"][name], ChecksumOf(absl::StrCat(folder, "/", name)));
  }
  return WriteFileAtomically(absl::StrCat(folder, "/", kTrainer), json.dump(2) + "\n");
}

absl::Status WriteFiles(const std::string& folder, const JobSpec& spec, const WeightLayout& layout,
                        const CheckpointArrays& arrays, const TrainingPosition& position) {
  RALLY_RETURN_IF_ERROR(WriteSafetensors(absl::StrCat(folder, "/", kModel),
                                         ModelTensors<TensorSource>(layout, arrays)));
  RALLY_RETURN_IF_ERROR(
      WriteFileAtomically(absl::StrCat(folder, "/", kConfig), ModelConfigText(spec)));
  RALLY_RETURN_IF_ERROR(WriteSafetensors(absl::StrCat(folder, "/", kOptimizer),
                                         OptimizerTensors<TensorSource>(layout, arrays)));
  RALLY_RETURN_IF_ERROR(WriteManifest(folder, position));
  return SyncDirectory(folder);
}

// Removes complete checkpoints but the newest spec.keep. Failing to is no reason to fail a job.
void RemoveOld(const CheckpointSpec& spec) {
  const absl::StatusOr<std::vector<int64_t>> steps = ListCheckpoints(spec);
  if (!steps.ok()) return;
  for (size_t i = 0; i + std::max(1, spec.keep) < steps->size(); ++i) {
    std::error_code error;
    fs::remove_all(CheckpointPath(spec, (*steps)[i]), error);
  }
}

absl::StatusOr<nlohmann::json> ReadManifest(const std::string& folder) {
  const std::string path = absl::StrCat(folder, "/", kTrainer);
  absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return absl::DataLossError(text.status().message());
  nlohmann::json json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object() || json.value("format", nlohmann::json()) != "rally-checkpoint") {
    return absl::DataLossError(absl::StrCat(path, " is not a checkpoint's manifest"));
  }
  if (json.value("version", nlohmann::json()) != kVersion) {
    return absl::FailedPreconditionError(absl::StrCat(path, " has version ", json["version"].dump(),
                                                      "; this program reads ", kVersion));
  }
  return json;
}

// Compares every file with its checksum in the manifest.
absl::Status VerifyFiles(const std::string& folder, const nlohmann::json& manifest) {
  for (const char* name : {kModel, kConfig, kOptimizer}) {
    const std::string path = absl::StrCat(folder, "/", name);
    RALLY_ASSIGN_OR_RETURN(const std::string found, ChecksumOf(path));
    const std::string expected = manifest.at("xxh3").at(name).get<std::string>();
    if (found != expected) {
      return absl::DataLossError(
          absl::StrCat(path, " is damaged: its XXH3 is ", found, ", the manifest says ", expected));
    }
  }
  return absl::OkStatus();
}

// The position of a checkpoint whose files are all as they were written.
absl::StatusOr<TrainingPosition> VerifiedPosition(const std::string& folder) {
  RALLY_ASSIGN_OR_RETURN(const nlohmann::json manifest, ReadManifest(folder));
  try {
    RALLY_RETURN_IF_ERROR(VerifyFiles(folder, manifest));
    const nlohmann::json& data = manifest.at("data_position");
    TrainingPosition position;
    position.step = manifest.at("step").get<int64_t>();
    position.data = {data.at("pass").get<int64_t>(), data.at("index").get<int64_t>(),
                     data.at("token").get<int64_t>()};
    if (std::min({position.step, position.data.pass, position.data.index, position.data.token}) <
        0) {
      return absl::DataLossError(absl::StrCat(folder, "/", kTrainer, " has a negative position"));
    }
    return position;
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(
        absl::StrCat(folder, "/", kTrainer, " is incomplete: ", error.what()));
  }
}

absl::StatusOr<TrainingPosition> ReadCheckpoint(const std::string& folder, const JobSpec& spec,
                                                const WeightLayout& layout,
                                                const CheckpointArrays& arrays) {
  RALLY_ASSIGN_OR_RETURN(const TrainingPosition position, VerifiedPosition(folder));
  RALLY_ASSIGN_OR_RETURN(const std::string config, ReadFile(absl::StrCat(folder, "/", kConfig)));
  RALLY_RETURN_IF_ERROR(Annotate(CheckModelConfig(config, spec), folder));
  RALLY_RETURN_IF_ERROR(ReadSafetensors(absl::StrCat(folder, "/", kModel),
                                        ModelTensors<TensorTarget>(layout, arrays)));
  RALLY_RETURN_IF_ERROR(ReadSafetensors(absl::StrCat(folder, "/", kOptimizer),
                                        OptimizerTensors<TensorTarget>(layout, arrays)));
  return position;
}

// Adds to the `damage` of the last of `steps` how to continue. Nothing is skipped silently: to lose
// steps is the user's decision.
absl::Status WithWayOut(const absl::Status& damage, const CheckpointSpec& spec,
                        const std::vector<int64_t>& steps) {
  std::vector<std::string> damaged;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    const std::string folder = CheckpointPath(spec, *step);
    if (damaged.empty() || !VerifiedPosition(folder).ok()) {
      damaged.push_back(folder);
      continue;
    }
    return absl::DataLossError(absl::StrCat(damage.message(), "; to continue from step ", *step,
                                            ", which is whole, remove ",
                                            absl::StrJoin(damaged, " and ")));
  }
  return absl::DataLossError(absl::StrCat(damage.message(), "; no older checkpoint in ",
                                          spec.directory,
                                          " is whole: to start anew, choose another directory"));
}

}  // namespace

absl::StatusOr<std::string> WriteCheckpoint(const JobSpec& spec, const WeightLayout& layout,
                                            const CheckpointArrays& arrays,
                                            const TrainingPosition& position) {
  if (spec.checkpoint.directory.empty()) {
    return absl::FailedPreconditionError("checkpoint.directory is not set");
  }
  const std::string folder = CheckpointPath(spec.checkpoint, position.step);
  std::error_code error;
  if (fs::exists(folder, error)) return folder;
  const std::string partial = folder + ".partial";
  fs::remove_all(partial, error);
  fs::create_directories(partial, error);
  if (error) return ErrnoStatus(error.value(), "create", partial);
  absl::Cleanup remove_partial = [&partial] {
    std::error_code ignored;
    fs::remove_all(partial, ignored);
  };
  RALLY_RETURN_IF_ERROR(WriteFiles(partial, spec, layout, arrays, position));
  RALLY_RETURN_IF_ERROR(RenameDurably(partial, folder));
  std::move(remove_partial).Cancel();
  RemoveOld(spec.checkpoint);
  return folder;
}

absl::StatusOr<TrainingPosition> ReadNewestCheckpoint(const JobSpec& spec,
                                                      const WeightLayout& layout,
                                                      const CheckpointArrays& arrays) {
  RALLY_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, ListCheckpoints(spec.checkpoint));
  if (steps.empty()) {
    return absl::NotFoundError(
        absl::StrCat("no checkpoint in \"", spec.checkpoint.directory, "\""));
  }
  const absl::StatusOr<TrainingPosition> position =
      ReadCheckpoint(CheckpointPath(spec.checkpoint, steps.back()), spec, layout, arrays);
  if (!absl::IsDataLoss(position.status())) return position;
  return WithWayOut(position.status(), spec.checkpoint, steps);
}

}  // namespace rally
