// Trainer: one data-parallel rank of a training job: the model, its optimizer and one training
// step.
//
// A step is two calls, so that weights change on all ranks or on none: RunRound computes gradients
// and reduces them over the ranks; the coordinator, told by every rank that it is ready, commits;
// Commit applies the optimizer. All ranks hold the same weights, bit for bit.
//
// LibTorch stays behind this header; its exceptions become absl::Status here.
//
// Threads: one caller at a time, always the same thread. Transport, pool and callbacks are borrowed
// and must outlive the trainer. Errors: after one, only destruction is allowed; weights are those
// of the last Commit.
#ifndef RALLY_WORKERS_MODEL_TRAINER_H_
#define RALLY_WORKERS_MODEL_TRAINER_H_

#include <cstdint>
#include <memory>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "scheduler/job_spec.h"
#include "scheduler/plan.h"
#include "workers/model/checkpoint.h"
#include "workers/model/collective.h"
#include "workers/model/in_place_service.h"
#include "workers/model/token_rows.h"
#include "workers/model/training_position.h"
#include "workers/transport/buffer.h"
#include "workers/transport/transport.h"

namespace rally {

struct TrainerOptions {
  JobSpec spec;  // model.vocabulary must be set (not 0).
  int32_t rank = 0;
  uint32_t epoch = 0;
  int32_t threads = 0;  // Compute threads, 0: as many as the cores this process may use.
  absl::Duration phase_timeout = absl::Seconds(60);
};

struct RoundResult {
  double loss = 0.0;           // Mean over the round's targets, all ranks; nats.
  double gradient_norm = 0.0;  // Before clipping; 0 for validations.
  double learning_rate = 0.0;  // That Commit will apply.
  absl::Duration compute;      // This rank's time outside waits.
  absl::Duration waiting;      // For core attention and collectives.
};

class Trainer {
 public:
  virtual ~Trainer() = default;

  // Loads the newest whole checkpoint of spec.checkpoint.directory; errors as of
  // ReadNewestCheckpoint.
  virtual absl::StatusOr<RestoredCheckpoint> Restore() = 0;

  // Computes one round: loss, and for a training plan the reduced gradients. `collected`: where
  // other workers stand in it already, if they do.
  virtual absl::StatusOr<RoundResult> RunRound(std::shared_ptr<const Plan> plan,
                                               const CollectedPhases& collected = {}) = 0;

  // Between rounds: core attention goes over another pool, whose transport is borrowed as the first
  // one was. Within a round InPlaceService::change_pool gives it.
  virtual void UsePool(Transport* transport, uint32_t epoch) = 0;

  // Applies the gradients of the last RunRound; the trainer then stands at `plan.step`.
  virtual absl::Status Commit() = 0;

  // What a checkpoint of the last committed step holds; valid until the next Commit or Restore.
  virtual CheckpointArrays arrays() = 0;

  // XXH3 of all weights, in a fixed order: equal on all ranks and between identical runs.
  virtual uint64_t WeightsChecksum() const = 0;

  virtual TrainingPosition position() const = 0;
};

class CoreAttention;  // workers/model/core_attention.h; that header needs LibTorch.

// Wraps a trainer's core attention, which outlives the wrapper: how benches and tests inject time
// or faults.
using DecorateCoreAttention = std::function<std::unique_ptr<CoreAttention>(CoreAttention* base)>;

// `collective` reduces over the job's workers and is borrowed.
absl::StatusOr<std::unique_ptr<Trainer>> MakeTrainer(const TrainerOptions& options,
                                                     Transport* transport, BufferPool* pool,
                                                     Collective* collective, ReadTokens read_tokens,
                                                     InPlaceService service,
                                                     const DecorateCoreAttention& decorate = {});

// Call once at program start, before memory is used: sets the allocator up to keep and reuse large
// blocks, which LibTorch on a CPU needs, and a file's size limit to be an error, not the end.
void PrepareProcessForTraining();

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_TRAINER_H_
