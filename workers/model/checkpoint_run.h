// CheckpointRun: the number by which the workers of one start of a job know their own partial
// checkpoints from those that another start has left (checkpoint_directory.h).
#ifndef RALLY_WORKERS_MODEL_CHECKPOINT_RUN_H_
#define RALLY_WORKERS_MODEL_CHECKPOINT_RUN_H_

#include <cstdint>

#include <absl/status/statusor.h>

#include "workers/model/collective.h"

namespace rally {

// Rank 0 draws one of 2^52 numbers and all ranks get it. Every rank must call it; errors are the
// collective's.
absl::StatusOr<uint64_t> AgreeOnCheckpointRun(Collective* collective);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_CHECKPOINT_RUN_H_
