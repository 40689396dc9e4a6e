#include "services/coordinator/planner_thread.h"

#include <optional>
#include <utility>

#include "common/log.h"
#include "common/status_macros.h"
#include "common/thread_niceness.h"

namespace rally {
namespace {

// A run has at most one request outstanding, so the queue holds two entries per active job.
constexpr size_t kCapacity = 65536;
// Of the thread: a plan has a step's time, what members and users are answered has none.
constexpr int kNiceness = 5;  // More than the program's.

}  // namespace

PlannerThread::PlannerThread(const Clock* clock, Sink sink)
    : clock_(clock), sink_(std::move(sink)), work_(kCapacity), thread_([this] { Loop(); }) {}

PlannerThread::~PlannerThread() {
  work_.Close();
  thread_.join();
}

void PlannerThread::Request(RequestPlan request) {
  const std::string job_id = request.job_id;
  const uint32_t epoch = request.epoch;
  if (work_.Push(std::move(request), absl::InfinitePast()) || work_.closed()) return;
  sink_(PlanFailed{job_id, epoch, absl::ResourceExhaustedError("the planner's queue is full")});
}

void PlannerThread::Forget(ForgetPlans job) {
  // Refused only at the end of the program, or when full: the planner is then kept a while longer.
  work_.Push(std::move(job), absl::InfinitePast());
}

void PlannerThread::Loop() {
  LowerThreadPriority(kNiceness);
  while (!work_.closed()) {
    std::optional<Work> work = work_.Pop(absl::Now() + absl::Seconds(10));
    if (!work.has_value()) continue;
    if (const auto* job = std::get_if<ForgetPlans>(&*work)) {
      planners_.erase(job->job_id);
      continue;
    }
    const auto& request = std::get<RequestPlan>(*work);
    absl::StatusOr<PlannedRound> planned = Plan(request);
    if (planned.ok()) {
      sink_(PlanReady{request.job_id, request.epoch, *std::move(planned)});
    } else {
      sink_(PlanFailed{request.job_id, request.epoch, planned.status()});
    }
  }
}

absl::StatusOr<PlannedRound> PlannerThread::Plan(const RequestPlan& request) {
  JobPlanner& kept = planners_[request.job_id];
  if (kept.planner == nullptr || kept.spec != request.spec) {
    RALLY_ASSIGN_OR_RETURN(kept.planner, RoundPlanner::Create(request.spec, clock_));
    kept.spec = request.spec;
  }
  RequestPlan mine = request;
  mine.search /= static_cast<int64_t>(planners_.size());  // The jobs share the thread.
  return kept.planner->Plan(mine);
}

}  // namespace rally
