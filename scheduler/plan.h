// Plan: all that any process needs to run one training step.
//
// It says which documents the global batch holds, which worker holds which tokens (chunks, one per
// worker and micro-batch), and which rank computes which CA-task. The plan is the same for every
// layer, forward and backward. Ranks [0, workers) are model workers, ranks
// [workers, workers + dedicated_servers) are dedicated attention servers.
//
// A key of the ping nano-batch may serve queries of ping and pong; a key of pong serves pong only,
// so inside a micro-batch every ping shard of a document comes before its pong shards. CheckPlan
// (check_plan.h) proves this and every other invariant.
//
// With pipeline stages the workers are `stages` times `replicas()`: stage s, which holds the s-th
// run of layers, is ranks [s * replicas(), (s + 1) * replicas()). An entry of `micro_batches` is
// then one tick: each stage's chunks are those of the micro-batch it works on, empty when it idles,
// and the tasks of all of them share one pool. A document passes the stages in order, forward, and
// in reverse, backward, always as the same shards in the same rows of the same replicas.
//
// Plain data, immutable once checked, shared by const pointer between threads.
#ifndef RALLY_SCHEDULER_PLAN_H_
#define RALLY_SCHEDULER_PLAN_H_

#include <array>
#include <cstdint>
#include <vector>

#include "scheduler/ca_task.h"
#include "scheduler/document.h"

namespace rally {

// Where the batch sampler stands in the shuffled dataset. Part of every checkpoint.
struct DataPosition {
  int64_t pass = 0;   // Full passes over the training split made so far.
  int64_t index = 0;  // Next document in this pass's shuffled order.
  int64_t token = 0;  // First token of that document not yet used.

  friend bool operator==(const DataPosition&, const DataPosition&) = default;
};

enum class PlanKind : uint8_t {
  kTrain = 0,     // Forward, backward, gradient reduction; changes weights at commit.
  kValidate = 1,  // Forward only, on the held-out split.
};

// Which directions an entry of Plan::micro_batches is run in.
enum class Passes : uint8_t {
  kBoth = 0,  // Forward, then in a training plan backward: a plan without pipeline stages.
  kForward = 1,
  kBackward = 2,
};

struct MicroBatch {
  std::vector<Chunk> chunks;                            // [workers]
  std::array<std::vector<CaTask>, kNanoBatches> tasks;  // By nano-batch of the queries.
  Passes passes = Passes::kBoth;

  friend bool operator==(const MicroBatch&, const MicroBatch&) = default;
};

struct Plan {
  int64_t round = 0;  // Counts the plans of a job's epoch: 0, 1, 2, ... Part of every tag.
  int64_t step = 0;   // Training step: the first is 1. A validation carries the step it follows.
  PlanKind kind = PlanKind::kTrain;
  int32_t workers = 0;
  int32_t dedicated_servers = 0;
  std::vector<Document> documents;
  std::vector<MicroBatch> micro_batches;
  DataPosition next_position;  // Where the following step's batch begins.
  int32_t stages = 1;          // Pipeline stages, divides `workers`.

  int32_t ranks() const { return workers + dedicated_servers; }
  // Workers of a stage: each holds a chunk of every micro-batch.
  int32_t replicas() const { return workers / stages; }
  friend bool operator==(const Plan&, const Plan&) = default;
};

// Targets of the whole global batch: what the summed loss is divided by.
int64_t TargetCount(const Plan& plan);
// Tokens of the whole global batch.
int64_t TokenCount(const Plan& plan);

// Core-attention work by rank: allowed pairs of the rank's tasks. [ranks]. For one phase
// (micro-batch, nano-batch), or summed over the micro-batches of the whole plan.
std::vector<int64_t> PairsByRank(const Plan& plan, int micro_batch, int nano_batch,
                                 AttentionMask mask);
std::vector<int64_t> PairsByRank(const Plan& plan, AttentionMask mask);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PLAN_H_
