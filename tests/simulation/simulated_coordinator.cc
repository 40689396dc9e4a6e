#include "tests/simulation/simulated_coordinator.h"

#include <iterator>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/types/span.h>

#include "services/coordinator/conditions.h"
#include "tests/simulation/message_text.h"

namespace rally::simulation {
namespace {

constexpr absl::Duration kTickInterval = absl::Seconds(1);

// Why a job that has ended or was queued again is where it is; null for the others.
const v1::Condition* WhyNotRunning(const v1::JobStatus& status) {
  if (IsFinal(status.phase())) return FindCondition(status, "Completed");
  return status.phase() == v1::JOB_PHASE_QUEUED ? FindCondition(status, "Progressing") : nullptr;
}

PlannedRound MakeUpPlan(const RequestPlan& request) {
  PlannedRound planned;
  planned.key = request.key;
  if (request.resumed != nullptr) {
    planned.plan = request.resumed;
    return planned;
  }
  planned.position = request.position;
  planned.next_position = request.position;
  if (request.key.kind == PlanKind::kTrain) ++planned.next_position.index;
  planned.tokens = 100;
  auto plan = std::make_shared<v1::Plan>();
  plan->set_round(request.key.round);
  plan->set_step(request.key.step);
  plan->set_kind(request.key.kind == PlanKind::kTrain ? v1::PLAN_KIND_TRAIN
                                                      : v1::PLAN_KIND_VALIDATE);
  plan->mutable_next_position()->set_index(planned.next_position.index);
  planned.plan = std::move(plan);
  return planned;
}

}  // namespace

SimulatedCoordinator::SimulatedCoordinator(World* world, SimulatedStore* store, const Parts& parts,
                                           const CoreOptions& options, int number)
    : world_(*world),
      store_(*store),
      arrange_(parts.arrange),
      number_(number),
      awake_since_(world->timeline.now()),
      process_(world),
      core_(parts.make_core(options)) {
  for (const auto& [id, job] : store_.jobs()) board_.insert(id);
  world_.Note("coordinator ", number_, " starts with ", board_.size(), " jobs");
  Handle({Recover{store_.LoadJobs()}});
  TickLater();
}

void SimulatedCoordinator::TickLater() {
  process_.After(kTickInterval, [this] {
    Post(Tick{});
    TickLater();
  });
}

void SimulatedCoordinator::Post(Event event) {
  if (!alive()) return;
  inbox_.push_back(std::move(event));
  if (awake_) return;
  awake_ = true;
  Random& random = world_.random;
  const absl::Duration slowness = random.Chance(world_.faults.slow_store)
                                      ? absl::Milliseconds(random.Below(400))
                                      : absl::Microseconds(random.Below(1500));
  process_.After(slowness, [this] { Loop(); });
}

void SimulatedCoordinator::Loop() {
  awake_ = false;
  const std::vector<Event> batch = std::exchange(inbox_, {});
  Handle(batch);
}

void SimulatedCoordinator::Handle(const std::vector<Event>& batch) {
  std::vector<Action> actions;
  for (const Event& event : batch) {
    std::vector<Action> some = core_->Apply(event, world_.timeline.now());
    std::move(some.begin(), some.end(), std::back_inserter(actions));
  }
  if (!actions.empty()) Carry(std::move(actions));
}

// Neighbours that concern the store are one transaction: a crash among them loses them all.
void SimulatedCoordinator::Carry(std::vector<Action> actions) {
  arrange_(&actions);
  size_t end = actions.size();
  const bool crash = std::exchange(crash_amid_actions_, false);
  if (crash) end = world_.random.Below(static_cast<int64_t>(actions.size()) + 1);
  for (size_t at = 0; at < end;) {
    size_t next = at + 1;
    if (SimulatedStore::Concerns(actions[at])) {
      while (next < actions.size() && SimulatedStore::Concerns(actions[next])) ++next;
      if (next > end) break;
      store_.Write(absl::MakeConstSpan(actions).subspan(at, next - at));
    }
    for (; at < next; ++at) {
      std::visit([this](const auto& concrete) { Do(concrete); }, actions[at]);
    }
  }
  if (!crash) return;
  world_.Note("coordinator ", number_, " crashes after ", end, " of ", actions.size(), " actions");
  Crash();
}

void SimulatedCoordinator::Pause(absl::Duration time) {
  world_.Note("coordinator ", number_, " stands still for ", absl::FormatDuration(time));
  awake_since_ = world_.timeline.now() + time;
  process_.PauseUntil(awake_since_);
  // A tick is due by then, and comes before what waits in its sockets.
  process_.Do([this] {
    inbox_.emplace_back(Tick{});
    Loop();
  });
}

void SimulatedCoordinator::Crash() {
  if (!alive()) return;
  world_.Note("coordinator ", number_, " has crashed");
  process_.Die();
  const Ending ending =
      world_.random.Chance(world_.faults.silent_crash) ? Ending::kSilent : Ending::kAbrupt;
  for (const auto& [id, session] : sessions_) session.connection->CloseAtCoordinator(ending);
  sessions_.clear();
  on_crash();
}

void SimulatedCoordinator::Accept(const std::shared_ptr<Connection>& connection) {
  const SessionId id = ++last_session_;
  sessions_[id].connection = connection;
  connection->coordinator.message = [this, id](v1::MemberMessage message) {
    process_.Do(
        [this, id, message = std::move(message)]() mutable { Heard(id, std::move(message)); });
  };
  connection->coordinator.ended = [this, id] { process_.Do([this, id] { Ended(id); }); };
}

void SimulatedCoordinator::Heard(SessionId id, v1::MemberMessage message) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  if (!message.has_heartbeat()) {
    world_.Note("coordinator ", number_, " hears on session ", id, ": ", TextOf(message));
  }
  if (message.has_hello()) {
    found->second.member_id = message.hello().member_id();
    Post(MemberHello{id, message.hello()});
  } else {
    Post(MemberSaid{id, found->second.member_id, std::move(message)});
  }
}

void SimulatedCoordinator::Ended(SessionId id) {
  const auto found = sessions_.find(id);
  if (found == sessions_.end()) return;
  const std::string member_id = found->second.member_id;
  found->second.connection->CloseAtCoordinator(Ending::kInPeace);
  sessions_.erase(found);
  world_.Note("coordinator ", number_, " sees session ", id, " of ", member_id, " end");
  if (!member_id.empty()) Post(MemberLost{id, member_id, "its session ended"});
}

// As JobServiceImpl: the vocabulary of a job that exists already is not looked up.
void SimulatedCoordinator::Submit(const std::string& job_id, const JobSpec& spec,
                                  Answered answered) {
  if (!alive()) return;
  if (store_.deleted().contains(job_id)) {
    return answered(absl::AlreadyExistsError("no id is used twice here"));
  }
  JobSpec admitted = spec;
  admitted.model.vocabulary = board_.contains(job_id) ? 0 : 257;
  waiting_[++last_request_] = std::move(answered);
  Post(SubmitJob{last_request_, job_id, std::move(admitted)});
}

void SimulatedCoordinator::Cancel(const std::string& job_id, absl::Duration grace,
                                  Answered answered) {
  if (!alive()) return;
  waiting_[++last_request_] = std::move(answered);
  Post(CancelJob{last_request_, job_id, grace});
}

void SimulatedCoordinator::Do(const AppendJobEvent& action) {
  world_.invariants.Published(action.job_id, action.event);
}

void SimulatedCoordinator::Do(const PersistJob& action) {
  const v1::JobStatus& status = action.job.status();
  board_.insert(action.job.job_id());
  const v1::Condition* why = WhyNotRunning(status);
  world_.Note("job ", action.job.job_id(), ": phase ", status.phase(), ", epoch ", status.epoch(),
              ", step ", status.step(), why == nullptr ? "" : ": " + why->message());
  if (why != nullptr) ++world_.reasons[why->reason()];
}

void SimulatedCoordinator::Do(const DeleteJob& action) { board_.erase(action.job_id); }

void SimulatedCoordinator::Do(const AnswerRequest& action) {
  const auto found = waiting_.find(action.request);
  if (found == waiting_.end()) return;
  found->second(action.answer);
  waiting_.erase(found);
}

void SimulatedCoordinator::Do(const SendToMember& action) {
  const auto found = sessions_.find(action.session);
  if (found == sessions_.end()) return;
  world_.Note("coordinator ", number_, " says on session ", action.session, " to ",
              found->second.member_id, ": ", TextOf(*action.message));
  world_.invariants.Sent(number_, action.session, *action.message);
  found->second.connection->Tell(action.message);
}

void SimulatedCoordinator::Do(const CloseSession& action) {
  const auto found = sessions_.find(action.session);
  if (found == sessions_.end()) return;
  const SessionId id = action.session;
  world_.Note("coordinator ", number_, " closes session ", id, " of ", found->second.member_id);
  found->second.connection->CloseAtCoordinator(Ending::kAbrupt);
  process_.After(world_.random.Between(absl::ZeroDuration(), absl::Milliseconds(5)),
                 [this, id] { Ended(id); });
}

void SimulatedCoordinator::Do(const RequestPlan& action) {
  to_plan_.push_back(action);
  PlanNext();
}

void SimulatedCoordinator::PlanNext() {
  if (planning_ || to_plan_.empty()) return;
  planning_ = true;
  Random& random = world_.random;
  const absl::Duration time =
      random.Chance(world_.faults.slow_plan)
          ? random.Between(absl::Milliseconds(100), absl::Seconds(random.Chance(0.9) ? 10 : 60))
          : random.Between(absl::Milliseconds(1), absl::Milliseconds(40));
  process_.After(time, [this] {
    const RequestPlan request = std::move(to_plan_.front());
    to_plan_.pop_front();
    planning_ = false;
    world_.Note("a plan for job ", request.job_id, ", epoch ", request.epoch, ", round ",
                request.key.round, ", step ", request.key.step,
                request.resumed == nullptr ? "" : ", laid over another pool");
    if (world_.random.Chance(world_.faults.failed_plan)) {
      Post(PlanFailed{request.job_id, request.epoch,
                      world_.random.Chance(0.5) ? absl::InvalidArgumentError("no such plan")
                                                : absl::UnavailableError("no file to be had")});
    } else {
      Post(PlanReady{request.job_id, request.epoch, MakeUpPlan(request)});
    }
    PlanNext();
  });
}

}  // namespace rally::simulation
