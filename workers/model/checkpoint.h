// Checkpoint: weights, optimizer state and data position of a training job, on disk.
//
// Format, version 2. A folder of the checkpoint directory (checkpoint_directory.h) with
//   config.json            Hugging Face configuration of LlamaForCausalLM, or of
//                          MistralForCausalLM with a sliding window
//   model.safetensors      float32 weights, Hugging Face Llama names (weight_layout.h)
//   optimizer.safetensors  "first_moment.<weight>" and "second_moment.<weight>", float32
//   trainer.json           the manifest (checkpoint_manifest.h): step, data position, checksums
// Of a job of several workers each one wrote a share (checkpoint_shards.h):
//   model-00001-of-00003.safetensors ...      and, as Hugging Face wants it,
//   model.safetensors.index.json              {"metadata": {"total_size": bytes},
//                                              "weight_map": {weight: file}}
//   optimizer-00001-of-00003.safetensors ...
// Nothing in it depends on the number of workers that read it.
//
// Here it is read; checkpoint_writer.h writes it. Free functions; any number of readers.
#ifndef RALLY_WORKERS_MODEL_CHECKPOINT_H_
#define RALLY_WORKERS_MODEL_CHECKPOINT_H_

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "scheduler/job_spec.h"
#include "workers/model/checkpoint_directory.h"
#include "workers/model/checkpoint_shards.h"
#include "workers/model/training_position.h"
#include "workers/model/weight_layout.h"

namespace rally {

struct RestoredCheckpoint {
  TrainingPosition position;
  std::string directory;
  // Newer checkpoints that are not whole, newest first, and what is wrong with the newest.
  std::vector<int64_t> damaged;
  std::string damage;
};

// Reads the newest checkpoint that is whole into `arrays`, past newer ones that are damaged. Every
// reader of the same files takes the same one. NotFound when there are none; DataLoss when none is
// whole, naming the newest's damage; FailedPrecondition when it is of another model shape, naming
// the field; the system's error when a file is there and cannot be read: that is no damage. After
// an error `arrays` are undefined, NotFound excepted.
absl::StatusOr<RestoredCheckpoint> ReadNewestCheckpoint(const JobSpec& spec,
                                                        const WeightLayout& layout,
                                                        const CheckpointArrays& arrays);

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_CHECKPOINT_H_
