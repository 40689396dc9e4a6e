#include "scheduler/joint_planner.h"

#include <algorithm>
#include <array>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/status_macros.h"
#include "scheduler/baseline_planners.h"
#include "scheduler/batch_split.h"
#include "scheduler/gap_filler.h"
#include "scheduler/phase_balancer.h"
#include "scheduler/phase_search.h"
#include "scheduler/phase_tasks.h"
#include "scheduler/plan_traffic.h"
#include "scheduler/shard_index.h"
#include "scheduler/simulator.h"
#include "scheduler/task_assignment.h"

namespace rally {
namespace {

// Layers alike: so many tell plans apart.
constexpr int64_t kComparedLayers = 2;
constexpr std::array<double, 5> kTolerances = {0.02, 0.01, 0.005, 0.05, 0.1};
// Placements of a phase that are finished and compared; so many more when those have shards below
// the granularity.
constexpr size_t kMostFinished = 2;
constexpr size_t kMostSpare = 4;
// The fixed number of attempts is about so much work, in documents looked at, so that large batches
// stay quick; a worker costs as much as some documents.
constexpr size_t kDocumentsTried = 16000;
constexpr size_t kFewestAttempts = 4;
constexpr size_t kLarge = 10000;  // In the same measure: one placement is finished.
constexpr size_t kDocumentsPerWorker = 20;
constexpr size_t kMostAttempts = 64;

// One phase in the making.
struct PhaseInProgress {
  PlacementInput input;
  std::unique_ptr<PhaseSearch> search;
};

// Makes one plan at one tolerance.
class JointPlan {
 public:
  JointPlan(const PlanInput& input, const PlannerOptions& options, double tolerance)
      : input_(input), options_(options), tolerance_(tolerance) {}

  PlannedBatch Make() {
    BatchSplit split = SplitBatch(*input_.batch, input_.shape, input_.topology.workers,
                                  input_.ping_pong, input_.model.mask);
    PlannedBatch planned;
    planned.plan.workers = input_.topology.workers;
    planned.plan.dedicated_servers = input_.topology.dedicated_servers;
    planned.plan.next_position = input_.batch->next_position;
    planned.plan.documents = std::move(split.documents);
    for (auto& phases : split.micro_batches) {
      for (PhaseDocuments& phase : phases) {
        AddPhase(planned.plan.documents, std::move(phase));
      }
    }
    Search();
    for (size_t i = 0; i < phases_.size(); ++i) {
      if (i % kNanoBatches == 0) {
        planned.plan.micro_batches.emplace_back().chunks.resize(
            static_cast<size_t>(input_.topology.workers));
      }
      Finish(static_cast<int>(i % kNanoBatches), planned.plan.documents.size(), &phases_[i],
             &planned.plan.micro_batches.back());
      attempts_ += phases_[i].search->attempts();
    }
    planned.report = ReportBalance(planned.plan, input_.topology, input_.model.mask, tolerance_);
    planned.report.attempts = attempts_;
    return planned;
  }

 private:
  void AddPhase(const std::vector<Document>& documents, PhaseDocuments phase) {
    PlacementInput input;
    input.granularity = options_.query_granularity;
    input.mask = input_.model.mask;
    input.costs = RowCostsOf(input_.model, options_.element_bytes);
    input.documents = std::move(phase.documents);
    input.tokens = std::move(phase.tokens);
    double pairs = 0.0;
    for (const DocumentShard& document : input.documents) {
      input.document_pairs.push_back(input.Pairs(document.begin, document.end));
      pairs += input.document_pairs.back();
    }
    for (const Document& document : documents) input.document_ends.push_back(document.tokens);
    input.limits = HomeLimits(pairs);
    phases_.push_back({std::move(input), nullptr});
  }

  // What the workers may hold as homes: the pool's work by their weights, or equal parts of it when
  // they are not in the pool.
  std::vector<double> HomeLimits(double pairs) const {
    Topology workers = input_.topology;
    workers.dedicated_servers = 0;
    double weights = 0.0;
    for (int32_t rank = 0; rank < workers.workers; ++rank) weights += workers.weight(rank);
    if (!workers.in_place || weights == 0.0) workers.weights.clear();
    workers.in_place = true;
    if (!workers.weights.empty()) workers.weights.resize(static_cast<size_t>(workers.workers));
    return WorkLimits(workers, pairs, tolerance_);
  }

  static size_t SizeOf(const PhaseInProgress& phase) {
    return phase.input.documents.size() + kDocumentsPerWorker * phase.input.tokens.size();
  }

  void Search() {
    for (PhaseInProgress& phase : phases_) {
      phase.search = std::make_unique<PhaseSearch>(&phase.input, kMostFinished + kMostSpare);
      if (phase.input.documents.empty()) continue;
      const size_t size = SizeOf(phase);
      const size_t attempts =
          std::clamp<size_t>(kDocumentsTried / size, kFewestAttempts, kMostAttempts);
      for (size_t i = 0; i < attempts; ++i) phase.search->Try();
    }
    if (input_.keep_searching != nullptr) SearchOn();
  }

  // Asks before each round of attempts, as long as any phase's search may find something yet.
  void SearchOn() {
    std::vector<PhaseSearch*> searches;
    for (const PhaseInProgress& phase : phases_) {
      if (!phase.input.documents.empty()) searches.push_back(phase.search.get());
    }
    const auto ran_dry = [](const PhaseSearch* search) { return search->ran_dry(); };
    while (true) {
      searches.erase(std::remove_if(searches.begin(), searches.end(), ran_dry), searches.end());
      if (searches.empty() || !input_.keep_searching()) return;
      for (PhaseSearch* search : searches) search->Try();
    }
  }

  // Fills in the micro-batch's nano-batch: ping before pong, whose keys may lie in ping.
  void Finish(int nano_batch, size_t documents, PhaseInProgress* phase, MicroBatch* micro_batch) {
    BalanceGoal goal;
    goal.query_granularity = options_.query_granularity;
    goal.mask = phase->input.mask;
    goal.costs = phase->input.costs;
    double pairs = 0.0;
    for (const double document : phase->input.document_pairs) pairs += document;
    goal.limits = WorkLimits(input_.topology, pairs, tolerance_);
    std::optional<MicroBatch> best;
    std::pair<int64_t, double> least;  // Shards below the granularity, bytes.
    const bool large = SizeOf(*phase) >= kLarge;
    const size_t enough = large ? 1 : kMostFinished;
    const size_t most = large ? kMostFinished : kMostFinished + kMostSpare;
    size_t finished = 0;
    for (const PhaseSearch::Found& found : phase->search->best()) {
      if (finished == most || (finished >= enough && least.first == 0)) break;
      ++finished;
      PhasePlacement placement = found.placement;
      const int64_t small_shards = GapFiller(&phase->input, &placement).Run();
      MicroBatch candidate = *micro_batch;
      for (const auto& [worker, shard] : placement.shards) {
        candidate.chunks[worker].nano_batches[nano_batch].push_back(shard);
      }
      const ShardIndex index(candidate);
      std::vector<CaTask> tasks = PlacementTasks(placement, phase->input);
      if (!input_.topology.in_place) LayOverPool(goal.limits, goal.mask, &tasks);
      candidate.tasks[nano_batch] = PhaseBalancer(&index, documents, goal).Run(tasks);
      RemoteRows rows;
      VisitRemoteRows(index, candidate.tasks[nano_batch],
                      [&rows](int32_t, int32_t, const RemoteRows& more) { rows += more; });
      const double bytes = goal.costs.Bytes(rows);
      if (best.has_value() && std::pair(small_shards, bytes) >= least) continue;
      least = {small_shards, bytes};
      best = std::move(candidate);
    }
    if (best.has_value()) *micro_batch = *std::move(best);
  }

  const PlanInput& input_;
  const PlannerOptions& options_;
  const double tolerance_;
  std::vector<PhaseInProgress> phases_;  // By micro-batch, then nano-batch.
  int64_t attempts_ = 0;
};

class JointPlanner final : public Planner {
 public:
  explicit JointPlanner(const PlannerOptions& options) : options_(options) {}

  absl::StatusOr<PlannedBatch> MakePlan(const PlanInput& input) override {
    RALLY_RETURN_IF_ERROR(CheckPlannerOptions(options_));
    RALLY_RETURN_IF_ERROR(CheckTopology(input.topology));
    if (input.topology.local()) return MakePlanner(PlannerKind::kLocal, options_)->MakePlan(input);
    if (options_.tolerance > 0.0) return JointPlan(input, options_, options_.tolerance).Make();
    if (input.costs == nullptr) return JointPlan(input, options_, kDefaultTolerance).Make();
    return Fastest(input);
  }

 private:
  // The plan of the shortest predicted step, computing at home among them where that can be.
  absl::StatusOr<PlannedBatch> Fastest(const PlanInput& input) const {
    std::optional<PlannedBatch> best;
    double least = std::numeric_limits<double>::infinity();
    const auto offer = [&](PlannedBatch planned) -> absl::Status {
      SimulationInput simulation;
      simulation.plan = &planned.plan;
      simulation.topology = input.topology;
      simulation.model = input.model;
      simulation.model.layers = std::min<int64_t>(kComparedLayers, input.model.layers);
      simulation.costs = input.costs;
      RALLY_ASSIGN_OR_RETURN(const StepForecast forecast, Simulate(simulation));
      if (forecast.step_seconds >= least) return absl::OkStatus();
      least = forecast.step_seconds;
      best = std::move(planned);
      return absl::OkStatus();
    };
    PlannerOptions options = options_;
    options.element_bytes = input.costs->element_bytes();
    for (const double tolerance : kTolerances) {
      RALLY_RETURN_IF_ERROR(offer(JointPlan(input, options, tolerance).Make()));
    }
    if (input.topology.in_place) {
      RALLY_ASSIGN_OR_RETURN(PlannedBatch local,
                             MakePlanner(PlannerKind::kLocal, options_)->MakePlan(input));
      local.report = ReportBalance(local.plan, input.topology, input.model.mask, kDefaultTolerance);
      RALLY_RETURN_IF_ERROR(offer(std::move(local)));
    }
    return *std::move(best);
  }

  const PlannerOptions options_;
};

}  // namespace

std::unique_ptr<Planner> MakeJointPlanner(const PlannerOptions& options) {
  return std::make_unique<JointPlanner>(options);
}

}  // namespace rally
