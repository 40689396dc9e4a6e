// Checkpoint: weights, optimizer state and data position of a training job, on disk.
//
// Format, version 1. A folder of the checkpoint directory (checkpoint_directory.h) with
//   model.safetensors      float32 weights, Hugging Face Llama names (weight_layout.h)
//   config.json            Hugging Face configuration of LlamaForCausalLM, or of
//                          MistralForCausalLM with a sliding window
//   optimizer.safetensors  "first_moment.<weight>" and "second_moment.<weight>", float32
//   trainer.json           {"format": "rally-checkpoint", "version": 1, "step": committed steps,
//                           "data_position": {"pass", "index", "token"},
//                           "xxh3": {file name: 16 hex digits, for the three others}}
//
// Written as <name>.partial, every file fsynced, trainer.json last, then renamed: a checkpoint is
// there whole or not at all. Older ones beyond `keep` are removed after that.
//
// Free functions, one thread at a time; only one process writes to a directory.
#ifndef RALLY_WORKERS_MODEL_CHECKPOINT_H_
#define RALLY_WORKERS_MODEL_CHECKPOINT_H_

#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "scheduler/job_spec.h"
#include "workers/model/checkpoint_directory.h"
#include "workers/model/training_position.h"
#include "workers/model/weight_layout.h"

namespace rally {

// Flat arrays of one WeightLayout.
struct CheckpointArrays {
  absl::Span<float> values;
  absl::Span<float> first_moment;
  absl::Span<float> second_moment;
};

// Writes the checkpoint of `position` into spec.checkpoint.directory and returns its folder. One
// that is there already for this step is kept as it is. FailedPrecondition without a directory;
// ResourceExhausted when the disk is full. After an error earlier checkpoints are as they were.
absl::StatusOr<std::string> WriteCheckpoint(const JobSpec& spec, const WeightLayout& layout,
                                            const CheckpointArrays& arrays,
                                            const TrainingPosition& position);

// Reads the newest complete checkpoint into `arrays`. NotFound when there is none;
// FailedPrecondition when it is of another model shape, naming the field; DataLoss when it is
// damaged, naming the file, and what to remove to continue from an older one that is whole. After
// an error `arrays` are undefined.
absl::StatusOr<TrainingPosition> ReadNewestCheckpoint(const JobSpec& spec,
                                                      const WeightLayout& layout,
                                                      const CheckpointArrays& arrays);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_CHECKPOINT_H_
