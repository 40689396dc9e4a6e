// CheckpointManifest: trainer.json, which says where training stood and what the checkpoint's other
// files must be, and the records with which workers report their share of one.
//
//   trainer.json  {"format": "rally-checkpoint", "version": 2, "step": committed steps,
//                  "data_position": {"pass", "index", "token"},
//                  "xxh3": {file name: 16 hex digits, for every other file},
//                  "manifest_xxh3": 16 hex digits of this text without this entry}
//   shard-00002-of-00003.json, only while a checkpoint is being written:
//                 {"xxh3": {file name: 16 hex digits}}, or
//                 {"error": {"code": of absl::StatusCode, "message"}}
//
// Version 1 had no manifest_xxh3 and one shard; it can still be read.
//
// Free functions on files, any thread.
#ifndef RALLY_WORKERS_MODEL_CHECKPOINT_MANIFEST_H_
#define RALLY_WORKERS_MODEL_CHECKPOINT_MANIFEST_H_

#include <map>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "workers/model/still_wanted.h"
#include "workers/model/training_position.h"

namespace rally {

inline constexpr const char* kManifestFile = "trainer.json";

using FileChecksums = std::map<std::string, std::string>;  // 16 hex digits by file name.

struct CheckpointManifest {
  TrainingPosition position;
  FileChecksums files;
};

// XXH3 of a file in 16 hex digits. NotFound when it is missing, or the system's error; the error of
// `wanted`.
absl::StatusOr<std::string> FileChecksum(const std::string& path,
                                         const StillWanted& wanted = nullptr);

// Durable once it returns. `folder` is the checkpoint's.
absl::Status WriteCheckpointManifest(const std::string& folder, const CheckpointManifest& manifest);

// NotFound when it is missing, or the system's error; DataLoss when it is damaged,
// FailedPrecondition when its version is not known here.
absl::StatusOr<CheckpointManifest> ReadCheckpointManifest(const std::string& folder);

// Compares every file with its checksum. DataLoss naming the first that is not as it was written;
// errors of FileChecksum.
absl::Status VerifyCheckpointFiles(const std::string& folder, const CheckpointManifest& manifest);

// Of shard `shard` of `shards`: path of its record in `folder`.
std::string ShardRecordPath(const std::string& folder, size_t shard, size_t shards);

// Writes a shard's record: `files`, or why there are none. Durable once it returns.
absl::Status WriteShardRecord(const std::string& path, const absl::StatusOr<FileChecksums>& files);

// NotFound while there is none; the shard's own error when its worker had one.
absl::StatusOr<FileChecksums> ReadShardRecord(const std::string& path);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_CHECKPOINT_MANIFEST_H_
