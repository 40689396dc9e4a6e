// Planner: from the documents of a global batch to a plan: which worker holds which tokens, and
// which rank computes which CA-task.
//
// Pure and deterministic: the same input gives the same plan (with `keep_searching` set: for the
// same number of its calls). A planner may be used by any one thread at a time.
#ifndef RALLY_SCHEDULER_PLANNER_H_
#define RALLY_SCHEDULER_PLANNER_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "scheduler/batch_sampler.h"
#include "scheduler/model_shape.h"
#include "scheduler/plan.h"
#include "scheduler/topology.h"

namespace rally {

class CostModel;  // scheduler/cost_model.h

// How documents are placed and their core attention is spread. Beside each its name in job files
// and on the command line.
enum class PlannerKind : uint8_t {
  kRally = 0,        // rally: documents placed together with their tasks.
  kArrival,          // arrival: documents placed in order of arrival, tasks balanced.
  kLocal,            // local: in order of arrival; every query row computed at its home.
  kGreedy,           // greedy: in order of arrival, tasks by the greedy of arXiv 2510.18121.
  kVariableLength,   // variable_length: chunks of equal work, not tokens (arXiv 2503.17924).
  kContextParallel,  // context_parallel: every document over all workers of a fixed group.
  kRing,             // ring: the same placement, keys one owner at a time (arXiv 2105.13120).
  kHybrid,           // hybrid: every document over as many workers as its length calls for.
};

// "rally", "arrival", ...
absl::string_view PlannerName(PlannerKind kind);
// InvalidArgument that lists the names when `name` is none of them.
absl::StatusOr<PlannerKind> ParsePlannerName(absl::string_view name);
// Every name, separated by commas, for help texts and errors.
std::string PlannerNames();

// Where a tolerance of 0 leaves the choice open and no cost model decides it.
inline constexpr double kDefaultTolerance = 0.02;

struct PlannerOptions {
  // No server's work in any phase is above (1 + tolerance) times its share of the total, so far as
  // the granularity allows; the report says whether it did. In (0, 1]; rally and arrival take 0 as
  // their own choice.
  double tolerance = 0.05;
  // Query cuts fall on multiples of this many rows of a document, but for those that packing makes.
  // Halved, in the phases that need it, until the tolerance is met: documents may be short. At
  // least 1.
  int64_t query_granularity = 128;
  // Workers that share a document (context_parallel, ring, variable_length), a divisor of all; the
  // most that do (hybrid). 0: all of them; variable_length: as many as the longest document's
  // chunks.
  int32_t context_parallel = 0;
  // variable_length and hybrid: the most tokens of a chunk, as a multiple of the batch's
  // chunk_tokens. At least 1.
  double chunk_token_limit = 2.0;
  // Of the rows that travel: 2 for bfloat16, 4 for float32.
  int64_t element_bytes = 4;
};

// What a plan is made of. Plain data; pointers are borrowed for the call.
struct PlanInput {
  const GlobalBatch* batch = nullptr;
  BatchShape shape;  // The batch's.
  Topology topology;
  ModelShape model;
  bool ping_pong = true;
  // Weighs time where given; without it, work is pairs and traffic is bytes.
  const CostModel* costs = nullptr;
  // An anytime planner asks before each further attempt, and stops by itself where more of them
  // promise nothing; absent: its own fixed number of attempts.
  std::function<bool()> keep_searching;
};

// What the planner says of its plan.
struct PlanReport {
  double tolerance = 0.0;           // That held.
  bool within_tolerance = true;     // Whether the one asked for did, in every phase.
  double largest_over_share = 1.0;  // Largest server's work over its share, worst phase.
  int64_t attempts = 1;             // Plans compared.
};

struct PlannedBatch {
  Plan plan;  // Passes CheckPlan. Round, step and kind are the caller's to set.
  PlanReport report;
};

class Planner {
 public:
  virtual ~Planner() = default;

  // InvalidArgument when batch, topology and options do not fit each other.
  virtual absl::StatusOr<PlannedBatch> MakePlan(const PlanInput& input) = 0;
};

std::unique_ptr<Planner> MakePlanner(PlannerKind kind, const PlannerOptions& options);

// The second half of planning alone: fills `plan->micro_batches[].tasks` and
// `plan->dedicated_servers` of a packed plan. The result passes CheckPlan. InvalidArgument when the
// plan and the topology disagree.
absl::Status AssignLocally(const Topology& topology, const ModelShape& model, Plan* plan);
absl::Status AssignBalanced(const Topology& topology, const ModelShape& model,
                            const PlannerOptions& options, Plan* plan);

// Largest work of a pool member over its share by weight, averaged over phases weighted by their
// work. 1.0 is perfect. With a dedicated-only pool the workers are not members.
double Imbalance(const Plan& plan, const Topology& topology, AttentionMask mask);

}  // namespace rally

#endif  // RALLY_SCHEDULER_PLANNER_H_
