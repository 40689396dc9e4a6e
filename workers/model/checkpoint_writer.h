// CheckpointWriter: one worker's part in the writing of checkpoints, on a thread of its own.
//
// Start copies this worker's shard of the arrays and returns; training goes on while the copy is
// written. At most one is being written: the next Start waits for it. The copy's memory is kept for
// the next time.
//
// The workers of a job share the directory, and it is all they need to finish a checkpoint
// together. Each writes its shard's files (checkpoint_shards.h) into one partial folder, makes them
// durable and then, by an atomic rename, leaves a record with their checksums or with its error.
// Rank 0 waits for all records, puts their checksums into the manifest, makes all durable and
// renames the folder to its final name. So, whoever is killed and whenever:
//   - before the rename there is a partial folder, which nobody reads;
//   - after it every file is there and durable: each record came after its files.
// A folder belongs to one run: shards that an earlier start of the job left for the same step,
// of weights that may differ in their last bits, are never mixed with those of this one. Meeting
// through messages instead would not spare the files, and would make training wait.
//
// Errors: a write that fails removes its partial folder and is reported; older checkpoints stay as
// they are, and the next Start tries again.
//
// Threads: Start and the destructor from one thread, the rest from any; `report` is called from the
// writer's.
#ifndef RALLY_WORKERS_MODEL_CHECKPOINT_WRITER_H_
#define RALLY_WORKERS_MODEL_CHECKPOINT_WRITER_H_

#include <cstdint>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <absl/types/span.h>

#include "scheduler/job_spec.h"
#include "workers/model/checkpoint_manifest.h"
#include "workers/model/checkpoint_shards.h"
#include "workers/model/safetensors.h"
#include "workers/model/training_position.h"
#include "workers/model/weight_layout.h"

namespace rally {

// Puts a file with these tensors on the disk, durably. WriteSafetensors, or what a test puts in its
// place.
using WriteTensors = std::function<absl::Status(
    const std::string& path, absl::Span<const TensorSource> tensors, const StillWanted& wanted)>;

struct CheckpointWriterOptions {
  JobSpec spec;  // With checkpoint.directory; model.vocabulary must be set.
  int32_t rank = 0;
  uint64_t run = 0;  // The same for all workers of one start of a job, and for no other start.
  absl::Duration patience = absl::Minutes(10);  // With other workers' shards, and with a Start.
  absl::Duration grace = absl::Seconds(2);      // After Abort.
  WriteTensors write = WriteSafetensors;
};

// How the writing of a checkpoint ended.
struct CheckpointOutcome {
  int64_t step = 0;
  std::string directory;  // Where it is, or was to be.
  absl::Status status;    // ResourceExhausted: the disk is full. Names the file.
};

class CheckpointWriter {
 public:
  // `report` is called for every checkpoint that was started, on rank 0 alone, except once aborted.
  CheckpointWriter(CheckpointWriterOptions options,
                   std::function<void(const CheckpointOutcome&)> report);
  ~CheckpointWriter();  // Aborts.
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Begins the checkpoint of `position`; every worker calls it at the same steps. `arrays` are
  // borrowed until it returns. DeadlineExceeded when the one before is still being written after
  // `patience`; the error of Abort after that.
  absl::Status Start(const CheckpointArrays& arrays, const TrainingPosition& position);

  // Waits until nothing is being written; false at the deadline.
  bool AwaitIdle(absl::Time deadline) const;

  // Refuses what is started later, and gives up what is being written unless that ends within
  // `grace`: most runs that end have lost a member that holds no shard. No checkpoint comes after
  // that but one that is being renamed. `error` is not OK.
  void Abort(const absl::Status& error);

 private:
  // On thread_.
  void Write(const TrainingPosition& position);
  absl::Status WriteCheckpoint(const TrainingPosition& position, const std::string& folder);
  absl::StatusOr<FileChecksums> WriteShard(const std::string& folder) const;
  absl::StatusOr<FileChecksums> WriteDescription(const std::string& folder) const;
  absl::StatusOr<FileChecksums> AwaitShard(const std::string& folder, size_t shard,
                                           absl::Time deadline) const;
  absl::Status Finish(const TrainingPosition& position, const std::string& folder,
                      FileChecksums files) const;
  std::vector<TensorSource> Tensors(const std::string& prefix, size_t array) const;
  std::string ShardFile(const char* stem) const;

  absl::Status aborted() const;
  // OK, or the error of an Abort whose grace is over.
  absl::Status given_up() const;
  bool has_shard() const { return rank_ < shards_.size(); }

  const CheckpointWriterOptions options_;
  const std::function<void(const CheckpointOutcome&)> report_;
  const WeightLayout layout_;
  const std::vector<CheckpointShard> shards_;
  const size_t rank_;
  std::vector<float> copy_;  // Of this worker's shard: values, first moments, second moments.

  mutable absl::Mutex mutex_;
  bool writing_ ABSL_GUARDED_BY(mutex_) = false;
  absl::Status aborted_ ABSL_GUARDED_BY(mutex_);
  absl::Time give_up_at_ ABSL_GUARDED_BY(mutex_) = absl::InfiniteFuture();

  std::thread thread_;  // Of the checkpoint being written, or of the last one.
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_CHECKPOINT_WRITER_H_
