// JobSpec: one typed document that says all about a training job.
//
// This struct is the type; rally.v1.JobSpec is its wire form and the YAML job file its documented
// text form (docs/job-file.md). Absent means the default given here. Ranges are checked by
// ValidateJobSpec, which every way in passes.
//
// Plain data, safe to copy and to read from any thread.
#ifndef RALLY_SCHEDULER_JOB_SPEC_H_
#define RALLY_SCHEDULER_JOB_SPEC_H_

#include <cstdint>
#include <optional>
#include <string>

#include <absl/status/status.h>

#include "scheduler/batch_sampler.h"
#include "scheduler/ca_task.h"
#include "scheduler/model_shape.h"
#include "scheduler/planner.h"
#include "scheduler/topology.h"

namespace rally {

struct DataSpec {
  std::string path;     // Dataset directory made by `rally data prepare`. Required.
  bool shuffle = true;  // Visit documents in an order shuffled by `seed`.
  uint64_t seed = 1;
  double validation_fraction = 0.05;  // Of documents, held out by hash of their index. [0, 0.5]
};

struct OptimizerSpec {              // AdamW
  double learning_rate = 1e-3;      // Peak, > 0
  double min_learning_rate = 1e-4;  // At the end of the cosine, [0, learning_rate]
  int64_t warmup_steps = 20;        // Linear from 0, >= 0
  double beta1 = 0.9;               // [0, 1)
  double beta2 = 0.95;              // [0, 1)
  double epsilon = 1e-8;            // > 0
  double weight_decay = 0.1;        // Matrices only, >= 0
  double gradient_clip = 1.0;       // Global norm, 0 turns clipping off
};

enum class ComputeType : uint8_t { kFloat32 = 0, kBfloat16 = 1 };

struct TrainingSpec {
  int64_t steps = 100;  // [1, 10'000'000]
  uint64_t seed = 1;    // Of the weights' initialisation.
  ComputeType compute_type = ComputeType::kFloat32;
  bool ping_pong = true;
};

struct AttentionSpec {
  int32_t dedicated = 0;    // Dedicated attention servers, [0, 1024]
  bool in_place = false;    // Workers serve each other's CA-tasks between their own layers.
  double tolerance = 0.05;  // Of the largest server's work over its share, (0, 1]
  PlannerKind planner = PlannerKind::kRally;  // Of a job with a pool; without one all is local.
};

struct ValidationSpec {
  int64_t every = 0;   // Steps between validations, 0 turns them off. The last step validates too.
  int64_t chunks = 2;  // Held-out chunks per validation, >= 1
};

struct CheckpointSpec {
  std::string directory;  // Where step-NNNNNNNN folders go. Empty: no checkpoints.
  int64_t every = 0;      // Steps between checkpoints, 0: only at the end and when asked to stop.
  int32_t keep = 3;       // Newest ones kept, >= 1
  bool resume = false;    // Continue from the newest checkpoint there, if any.
};

// Devices that take the time of a profile instead of computing. Times of a paced job are those of
// the emulated devices: what passes here, divided by `time_scale`.
struct PacedSpec {
  std::string profile;          // Text of a profile (docs/profile-format.md). Empty: a real job.
  double time_scale = 1.0;      // How much slower than the profile's device all runs, (0, 1e6]
  double message_scale = 0.01;  // Part of a message's bytes that is really sent, [0, 1]
  int32_t stages = 1;           // Pipeline stages; divides workers and model.layers.
  int32_t ranks_per_node = 0;   // Topology::ranks_per_node.

  bool enabled() const { return !profile.empty(); }
};

struct JobSpec {
  ModelShape model;
  DataSpec data;
  BatchShape batch;
  OptimizerSpec optimizer;
  TrainingSpec training;
  int32_t workers = 1;  // Model workers, of all stages, [1, 1024]
  // Fewest that the job goes on with when lost ones are not replaced, [1, workers]. None: workers.
  std::optional<int32_t> min_workers;
  int64_t worker_wait_seconds = 30;  // Before it goes on with fewer, [0, 86400]
  PacedSpec paced;
  AttentionSpec attention;
  ValidationSpec validation;
  CheckpointSpec checkpoint;
  int32_t priority = 0;          // Higher runs first, [-1000, 1000]
  int32_t max_restarts = 3;      // After infrastructure failures, [0, 1000]
  int64_t deadline_seconds = 0;  // From creation to end, [0, 1e9]; 0: none
  // Equal jobs give equal bits: plans depend on the job alone, never on time measured.
  bool deterministic = false;

  Topology topology() const {
    return {workers, attention.dedicated, attention.in_place, paced.ranks_per_node};
  }
  // Workers that hold the same layers.
  int32_t replicas() const { return workers / paced.stages; }
  int32_t fewest_workers() const { return min_workers.value_or(workers); }
  // The most workers, at most `available`, that the job may train on; 0: it may not on so few.
  int32_t AllowedWorkers(int64_t available) const;
  PlannerKind planner() const {
    return topology().local() ? PlannerKind::kLocal : attention.planner;
  }
  // Core attention multiplies what the layers multiply.
  AttentionElement attention_element() const {
    return training.compute_type == ComputeType::kBfloat16 ? AttentionElement::kBfloat16
                                                           : AttentionElement::kFloat32;
  }
};

// OK, or InvalidArgument that names the field as the job file does (e.g. "model.head_dim"), its
// value and the accepted range.
absl::Status ValidateJobSpec(const JobSpec& spec);

}  // namespace rally

#endif  // RALLY_SCHEDULER_JOB_SPEC_H_
