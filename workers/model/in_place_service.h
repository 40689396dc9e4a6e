// InPlaceService: how the model reaches workers/attention without knowing it.
//
// BeginStep is called once per plan, before its first phase; post_phase when a phase's requests are
// sent; serve_phase at the point of the step where the phase's results are awaited. A rank always
// serves at least the tasks that the plan leaves at home. Functions may be empty: then nothing is
// served here. All are called on the trainer's thread.
#ifndef RALLY_WORKERS_MODEL_IN_PLACE_SERVICE_H_
#define RALLY_WORKERS_MODEL_IN_PLACE_SERVICE_H_

#include <functional>
#include <memory>

#include <absl/status/status.h>

#include "scheduler/phase.h"
#include "scheduler/plan.h"

namespace rally {

struct InPlaceService {
  std::function<absl::Status(std::shared_ptr<const Plan>)> begin_step;
  std::function<absl::Status(const Phase&)> post_phase;
  std::function<absl::Status(const Phase&)> serve_phase;
};

}  // namespace rally

#endif  // RALLY_WORKERS_MODEL_IN_PLACE_SERVICE_H_
