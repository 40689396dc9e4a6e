// PlannerThread: plans rounds beside the coordinator's loop, so that planning is never waited for.
//
// One thread; requests are served in order. It keeps a planner per job until the job is forgotten
// or its spec is another object: that of a run on fewer workers. Request and Forget may be called
// from any thread and do not block; answers are given to the sink on the planner's thread, which
// must not call back. Destruction ends the thread after the plan it works on.
#ifndef RALLY_SERVICES_COORDINATOR_PLANNER_THREAD_H_
#define RALLY_SERVICES_COORDINATOR_PLANNER_THREAD_H_

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <variant>

#include "common/bounded_queue.h"
#include "common/clock.h"
#include "services/coordinator/event.h"
#include "services/coordinator/round_planner.h"

namespace rally {

class PlannerThread {
 public:
  using Sink = std::function<void(Event)>;

  // `clock` is borrowed.
  PlannerThread(const Clock* clock, Sink sink);
  ~PlannerThread();
  PlannerThread(const PlannerThread&) = delete;
  PlannerThread& operator=(const PlannerThread&) = delete;

  void Request(RequestPlan request);
  void Forget(ForgetPlans job);

 private:
  using Work = std::variant<RequestPlan, ForgetPlans>;
  struct JobPlanner {
    std::shared_ptr<const JobSpec> spec;
    std::unique_ptr<RoundPlanner> planner;
  };

  void Loop();
  absl::StatusOr<PlannedRound> Plan(const RequestPlan& request);

  const Clock* const clock_;
  const Sink sink_;
  BoundedQueue<Work> work_;
  std::map<std::string, JobPlanner> planners_;  // The thread's own.
  std::thread thread_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_PLANNER_THREAD_H_
