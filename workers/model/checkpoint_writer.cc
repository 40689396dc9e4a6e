#include "workers/model/checkpoint_writer.h"

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "workers/model/checkpoint_directory.h"
#include "workers/model/model_config.h"

namespace rally {
namespace {

namespace fs = std::filesystem;

constexpr absl::Duration kPoll = absl::Milliseconds(10);  // For other workers' records.
constexpr const char* kModel = "model";
constexpr const char* kOptimizer = "optimizer";
constexpr const char* kConfig = "config.json";
constexpr const char* kIndex = "model.safetensors.index.json";

// Which file has which weight, as Hugging Face's readers want it.
std::string IndexText(const WeightLayout& layout, const std::vector<CheckpointShard>& shards) {
  nlohmann::ordered_json json;
  int64_t bytes = 0;
  for (const WeightInfo& weight : layout.weights) {
    bytes += weight.elements * static_cast<int64_t>(sizeof(float));
  }
  json["metadata"]["total_size"] = bytes;
  for (size_t shard = 0; shard < shards.size(); ++shard) {
    for (size_t w = shards[shard].first_weight; w < shards[shard].end_weight; ++w) {
      json["weight_map"][layout.weights[w].name] = ShardFileName(kModel, shard, shards.size());
    }
  }
  return json.dump(2) + "\n";
}

absl::Status MakeFolder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  return error ? ErrnoStatus(error.value(), "cannot create", folder) : absl::OkStatus();
}

void Remove(const std::string& path) {
  std::error_code ignored;
  fs::remove_all(path, ignored);
}

}  // namespace

CheckpointWriter::CheckpointWriter(CheckpointWriterOptions options,
                                   std::function<void(const CheckpointOutcome&)> report)
    : options_(std::move(options)),
      report_(std::move(report)),
      layout_(LayOutWeights(options_.spec.model)),
      shards_(SplitWeights(layout_, options_.spec.workers)),
      rank_(static_cast<size_t>(options_.rank)) {}

CheckpointWriter::~CheckpointWriter() {
  Abort(absl::CancelledError("the worker has left the job"));
  if (thread_.joinable()) thread_.join();
}

absl::Status CheckpointWriter::Start(const CheckpointArrays& arrays,
                                     const TrainingPosition& position) {
  {
    absl::MutexLock lock(&mutex_);
    const auto free = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !writing_ || !aborted_.ok();
    };
    const absl::Time asked = absl::Now();
    if (!mutex_.AwaitWithTimeout(absl::Condition(&free), options_.patience)) {
      return absl::DeadlineExceededError(
          absl::StrCat("the checkpoint before that of step ", position.step,
                       " is still being written after ", absl::FormatDuration(options_.patience)));
    }
    RALLY_RETURN_IF_ERROR(aborted_);
    const absl::Duration waited = absl::Now() - asked;
    if (waited > absl::Seconds(1)) {
      RALLY_LOG_WARN("step {} waited {} for the checkpoint before it to be written", position.step,
                     absl::FormatDuration(waited));
    }
    writing_ = true;
  }
  if (thread_.joinable()) thread_.join();
  if (has_shard()) {
    const CheckpointShard& shard = shards_[rank_];
    copy_.resize(3 * shard.elements());
    auto to = copy_.begin();
    for (const absl::Span<const float> array :
         {arrays.values, arrays.first_moment, arrays.second_moment}) {
      to = std::copy_n(array.begin() + shard.begin, shard.elements(), to);
    }
  }
  thread_ = std::thread([this, position] { Write(position); });
  return absl::OkStatus();
}

bool CheckpointWriter::AwaitIdle(absl::Time deadline) const {
  absl::MutexLock lock(&mutex_);
  const auto idle = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !writing_; };
  return mutex_.AwaitWithDeadline(absl::Condition(&idle), deadline);
}

void CheckpointWriter::Abort(const absl::Status& error) {
  absl::MutexLock lock(&mutex_);
  if (!aborted_.ok()) return;
  aborted_ = error;
  give_up_at_ = absl::Now() + options_.grace;
}

absl::Status CheckpointWriter::aborted() const {
  absl::MutexLock lock(&mutex_);
  return aborted_;
}

absl::Status CheckpointWriter::given_up() const {
  absl::MutexLock lock(&mutex_);
  return absl::Now() >= give_up_at_ ? aborted_ : absl::OkStatus();
}

void CheckpointWriter::Write(const TrainingPosition& position) {
  const absl::Time start = absl::Now();
  const CheckpointSpec& spec = options_.spec.checkpoint;
  const std::string folder = PartialCheckpointPath(spec, position.step, options_.run);
  const absl::Status status = WriteCheckpoint(position, folder);
  // Rank 0 has waited for all that still write into it, or has given up on them.
  if (!status.ok() && rank_ == 0) Remove(folder);
  const bool over = !aborted().ok();  // The run is: nobody listens.
  const CheckpointOutcome outcome = {position.step, CheckpointPath(spec, position.step), status};
  if (!status.ok() && !over) {
    RALLY_LOG_WARN("the checkpoint of step {} was not written: {}", position.step,
                   std::string(status.message()));
  } else if (status.ok() && rank_ == 0) {
    RALLY_LOG_INFO("wrote the checkpoint of step {} to {} in {}", position.step, outcome.directory,
                   absl::FormatDuration(absl::Trunc(absl::Now() - start, absl::Milliseconds(1))));
  }
  if (rank_ == 0 && !over) report_(outcome);
  absl::MutexLock lock(&mutex_);
  writing_ = false;
}

absl::Status CheckpointWriter::WriteCheckpoint(const TrainingPosition& position,
                                               const std::string& folder) {
  if (options_.spec.checkpoint.directory.empty()) {
    return absl::FailedPreconditionError("checkpoint.directory is not set");
  }
  if (rank_ == 0) {
    RemoveStalePartials(options_.spec.checkpoint, position.step, options_.run);
  }
  if (!has_shard()) return absl::OkStatus();
  RALLY_RETURN_IF_ERROR(MakeFolder(folder));
  const absl::StatusOr<FileChecksums> own = WriteShard(folder);
  if (rank_ != 0) {
    if (!own.ok()) {  // The record of an error finds room where the shard had none.
      for (const char* stem : {kModel, kOptimizer}) {
        Remove(absl::StrCat(folder, "/", ShardFile(stem)));
      }
    }
    const absl::Status recorded =
        WriteShardRecord(ShardRecordPath(folder, rank_, shards_.size()), own);
    return own.ok() ? recorded : own.status();
  }
  RALLY_RETURN_IF_ERROR(own.status());
  FileChecksums files = *own;
  RALLY_ASSIGN_OR_RETURN(const FileChecksums description, WriteDescription(folder));
  files.insert(description.begin(), description.end());
  const absl::Time deadline = absl::Now() + options_.patience;
  for (size_t shard = 1; shard < shards_.size(); ++shard) {
    RALLY_ASSIGN_OR_RETURN(const FileChecksums theirs, AwaitShard(folder, shard, deadline));
    files.insert(theirs.begin(), theirs.end());
  }
  return Finish(position, folder, std::move(files));
}

std::string CheckpointWriter::ShardFile(const char* stem) const {
  return ShardFileName(stem, rank_, shards_.size());
}

// Of array 0, values; 1, first moments; 2, second moments.
std::vector<TensorSource> CheckpointWriter::Tensors(const std::string& prefix, size_t array) const {
  const CheckpointShard& shard = shards_[rank_];
  const auto all = absl::MakeConstSpan(copy_).subspan(array * shard.elements(), shard.elements());
  std::vector<TensorSource> tensors;
  for (size_t w = shard.first_weight; w < shard.end_weight; ++w) {
    const WeightInfo& weight = layout_.weights[w];
    tensors.push_back({prefix + weight.name, weight.shape,
                       all.subspan(weight.offset - shard.begin, weight.elements)});
  }
  return tensors;
}

absl::StatusOr<FileChecksums> CheckpointWriter::WriteShard(const std::string& folder) const {
  std::vector<TensorSource> moments = Tensors("first_moment.", 1);
  for (TensorSource& tensor : Tensors("second_moment.", 2)) moments.push_back(std::move(tensor));
  const StillWanted wanted = [this] { return given_up(); };
  FileChecksums files;
  for (const auto& [name, tensors] : {std::make_pair(ShardFile(kModel), Tensors("", 0)),
                                      std::make_pair(ShardFile(kOptimizer), std::move(moments))}) {
    const std::string path = absl::StrCat(folder, "/", name);
    RALLY_RETURN_IF_ERROR(options_.write(path, tensors, wanted));
    RALLY_ASSIGN_OR_RETURN(files[name], FileChecksum(path, wanted));
  }
  return files;
}

absl::StatusOr<FileChecksums> CheckpointWriter::WriteDescription(const std::string& folder) const {
  std::vector<std::pair<std::string, std::string>> texts = {
      {kConfig, ModelConfigText(options_.spec)}};
  if (shards_.size() > 1) texts.emplace_back(kIndex, IndexText(layout_, shards_));
  FileChecksums files;
  for (const auto& [name, text] : texts) {
    const std::string path = absl::StrCat(folder, "/", name);
    RALLY_RETURN_IF_ERROR(WriteFileAtomically(path, text));
    RALLY_ASSIGN_OR_RETURN(files[name], FileChecksum(path));
  }
  return files;
}

absl::StatusOr<FileChecksums> CheckpointWriter::AwaitShard(const std::string& folder, size_t shard,
                                                           absl::Time deadline) const {
  const std::string path = ShardRecordPath(folder, shard, shards_.size());
  while (true) {
    const absl::StatusOr<FileChecksums> record = ReadShardRecord(path);
    if (record.ok()) return record;
    if (!absl::IsNotFound(record.status())) {
      return Annotate(record.status(), absl::StrCat("worker ", shard));
    }
    if (absl::Now() >= deadline) {
      return absl::DeadlineExceededError(
          absl::StrCat("worker ", shard, " has not written its shard, ", path, ", within ",
                       absl::FormatDuration(options_.patience),
                       ": checkpoint.directory must be one directory for all workers"));
    }
    RALLY_RETURN_IF_ERROR(given_up());
    absl::MutexLock lock(&mutex_);
    const auto never = [] { return false; };
    mutex_.AwaitWithTimeout(absl::Condition(&never), kPoll);
  }
}

absl::Status CheckpointWriter::Finish(const TrainingPosition& position, const std::string& folder,
                                      FileChecksums files) const {
  RALLY_RETURN_IF_ERROR(WriteCheckpointManifest(folder, {position, std::move(files)}));
  for (size_t shard = 1; shard < shards_.size(); ++shard) {
    Remove(ShardRecordPath(folder, shard, shards_.size()));
  }
  RALLY_RETURN_IF_ERROR(SyncDirectory(folder));
  // Another run may be at it meanwhile.
  RALLY_RETURN_IF_ERROR(given_up());
  const CheckpointSpec& spec = options_.spec.checkpoint;
  const std::string final_path = CheckpointPath(spec, position.step);
  std::error_code error;
  if (fs::exists(final_path, error)) {
    // A worker that was taken for dead has written it after all; what is damaged was set aside.
    Remove(folder);
  } else {
    RALLY_RETURN_IF_ERROR(RenameDurably(folder, final_path));
  }
  RemoveOldCheckpoints(spec);
  return absl::OkStatus();
}

}  // namespace rally
