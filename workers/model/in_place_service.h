// InPlaceService: how the model reaches workers/attention without knowing it.
//
// begin_step is called once per plan, before its first phase; post_phase when a phase's requests
// are sent; serve_phase at the point of the step where the phase's results are awaited. A rank
// always serves at least the tasks that the plan leaves at home.
//
// change_pool is called when the transport has failed within a round: it waits until the job has
// other attention servers, and begin_step is then called for what it gives. Without one, or when it
// fails, so does the round.
//
// report_late is called, again whenever the wait has doubled, when replies of a phase take much
// longer than usual: whoever should send them may be gone.
//
// Functions may be empty: then nothing is served here. All are called on the trainer's thread.
#ifndef RALLY_WORKERS_MODEL_IN_PLACE_SERVICE_H_
#define RALLY_WORKERS_MODEL_IN_PLACE_SERVICE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "scheduler/collected_phases.h"
#include "scheduler/phase.h"
#include "scheduler/plan.h"
#include "workers/transport/transport.h"

namespace rally {

// The attention servers that a round goes on with.
struct PoolChange {
  Transport* transport = nullptr;  // Of the new epoch, connected. Borrowed, until the next change.
  uint32_t epoch = 0;
  // The round's documents where they were, their tasks over the new pool. Null: all workers have
  // collected all of the round, nothing of it is computed again.
  std::shared_ptr<const Plan> plan;
  CollectedPhases collected;
};

// Where this rank stands in a round when its transport fails.
struct RoundStanding {
  int64_t round = 0;
  int64_t collected = 0;  // Phases.
  bool complete = false;  // All of them.
};

struct InPlaceService {
  std::function<absl::Status(std::shared_ptr<const Plan>, const CollectedPhases&)> begin_step;
  std::function<absl::Status(const Phase&)> post_phase;
  std::function<absl::Status(const Phase&)> serve_phase;
  std::function<absl::StatusOr<PoolChange>(const absl::Status& cause, const RoundStanding&)>
      change_pool;
  std::function<void(const std::string& what)> report_late;
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_IN_PLACE_SERVICE_H_
