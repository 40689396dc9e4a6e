// The order of a run's rounds: which steps train, validate and write checkpoints.
//
// Pure functions, any thread.
#ifndef RALLY_SERVICES_COORDINATOR_ROUND_SCHEDULE_H_
#define RALLY_SERVICES_COORDINATOR_ROUND_SCHEDULE_H_

#include <cstdint>
#include <optional>

#include "scheduler/job_spec.h"
#include "services/coordinator/event.h"

namespace rally {

// Validation follows every `validation.every` steps and the last step; never when it is 0.
bool ValidationDue(const JobSpec& spec, int64_t step);

// Whether the commit of `step` writes a checkpoint: every `checkpoint.every` steps and with the
// last step; never without a directory.
bool CheckpointDue(const JobSpec& spec, int64_t step);

// The first round of a run whose workers stand at `step`. Nothing when the job is done. A restored
// run repeats the validation of its step, which the interrupted run may not have made.
std::optional<RoundKey> FirstRound(const JobSpec& spec, int64_t step);

// The round after `key`; nothing when `key` is the last.
std::optional<RoundKey> NextRound(const JobSpec& spec, const RoundKey& key);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_ROUND_SCHEDULE_H_
