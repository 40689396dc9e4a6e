// Checkpoint directories: where the checkpoints of a job lie, seen from outside.
//
//   <directory>/step-00000030/          complete: it was renamed to this name
//   <directory>/step-00000030.partial/  being written, or left by a crash; never read
//
// What is inside is in checkpoint.h. Free functions on the file system, any thread; no LibTorch.
#ifndef RALLY_WORKERS_MODEL_CHECKPOINT_DIRECTORY_H_
#define RALLY_WORKERS_MODEL_CHECKPOINT_DIRECTORY_H_

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "scheduler/job_spec.h"

namespace rally {

// "<directory>/step-NNNNNNNN"
std::string CheckpointPath(const CheckpointSpec& spec, int64_t step);

// Steps of the complete checkpoints in spec.directory, ascending; none when it does not exist.
absl::StatusOr<std::vector<int64_t>> ListCheckpoints(const CheckpointSpec& spec);

// What a new job needs: that spec.directory exists or can be made, that files can be written in it,
// and, unless spec.resume, that no checkpoint is there that this job would mix with its own
// (FailedPrecondition). OK when spec.directory is empty. Leaves nothing but the directory.
absl::Status CheckCheckpointDirectory(const CheckpointSpec& spec);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_CHECKPOINT_DIRECTORY_H_
