// Checkpoint directories: where the checkpoints of a job lie, seen from outside.
//
//   <directory>/step-00000030/               complete: it was renamed to this name
//   <directory>/step-00000030.partial-<run>/ being written or removed, or left by a crash; never
//                                            read, removed when the next one is written
//   <directory>/step-00000030.damaged/       was found damaged and set aside; never read, never
//                                            removed
//
// `run` names one start of a job: what another start has left is never taken for its own work.
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

// Where the workers of `run` write it.
std::string PartialCheckpointPath(const CheckpointSpec& spec, int64_t step, uint64_t run);

// Steps of the complete checkpoints in spec.directory, ascending; none when it does not exist.
absl::StatusOr<std::vector<int64_t>> ListCheckpoints(const CheckpointSpec& spec);

// What a job needs: that spec.directory exists or can be made, that files can be written in it,
// and, unless spec.resume, that no checkpoint is there that this job would mix with its own
// (FailedPrecondition). `known` is the step of the newest checkpoint that the job is known to have,
// or 0: where none at all is found, CheckpointMissing. OK when spec.directory is empty. Leaves
// nothing but the directory.
absl::Status CheckCheckpointDirectory(const CheckpointSpec& spec, int64_t known);

// Unavailable: none is where that of step `known` must be. Names directory, step and this machine.
absl::Status CheckpointMissing(const CheckpointSpec& spec, int64_t known);

// Takes a damaged checkpoint out of the way by another name, which it returns.
absl::StatusOr<std::string> SetCheckpointAside(const CheckpointSpec& spec, int64_t step);

// Removes complete checkpoints but the newest spec.keep. What cannot be removed stays.
void RemoveOldCheckpoints(const CheckpointSpec& spec);

// Removes what crashes have left: partial checkpoints but those that `run` may be writing, which
// are at `step` or later. What cannot be removed stays.
void RemoveStalePartials(const CheckpointSpec& spec, int64_t step, uint64_t run);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_CHECKPOINT_DIRECTORY_H_
