// Jobs that ran when the coordinator stopped: see coordinator_core.h.
//
// A run lives in its members. They keep what they hold while no coordinator is there, and say so in
// Hello. When all workers of a job are back, its pool is changed, as when a server is lost, and the
// workers report what the coordinator has forgotten: the rounds under way with their plans, and the
// last commit. A commit that has reached some workers reaches the others; one that was not recorded
// is recorded.
#include <algorithm>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>

#include "proto/convert.h"
#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/round_schedule.h"

namespace rally {
namespace {

// Servers that are back soon after the workers spare the run another change of its pool.
constexpr absl::Duration kServersMayCome = absl::Milliseconds(500);

// What is known of a round from a worker's record of it.
RoundProgress ProgressOf(const v1::Plan& plan, size_t workers, size_t ranks) {
  RoundProgress round;
  PlannedRound& planned = round.planned;
  planned.key.round = plan.round();
  planned.key.step = plan.step();
  planned.key.kind = plan.kind() == v1::PLAN_KIND_TRAIN ? PlanKind::kTrain : PlanKind::kValidate;
  planned.plan = std::make_shared<const v1::Plan>(plan);
  planned.next_position = FromProto(plan.next_position());
  for (const int64_t tokens : plan.documents().tokens()) planned.tokens += tokens;
  round.done.resize(ranks);
  round.committed.resize(workers);
  round.regrouped = true;
  return round;
}

// Of two workers at one round, one may not have been told its plan.
std::pair<int64_t, bool> HowFar(const v1::Standing& standing) {
  return {standing.round(), standing.begun() && standing.has_current()};
}

// Of the validation of `step`, if a worker has finished it.
const v1::Plan* LastValidated(const Run& run, int64_t step) {
  for (int32_t rank = 0; rank < run.spec->workers; ++rank) {
    const v1::RoundRecord& validated = run.prepared[rank]->standing().validated();
    if (validated.has_done() && validated.plan().step() == step) return &validated.plan();
  }
  return nullptr;
}

// The round of `plan`, as the workers' reports tell of it.
void AddRebuilt(const v1::Plan& plan, Run* run) {
  const auto workers = static_cast<size_t>(run->spec->workers);
  RoundProgress& round = run->sent.emplace_back(ProgressOf(plan, workers, run->members.size()));
  if (round.planned.key.kind == PlanKind::kTrain) run->position = round.planned.next_position;
  run->next = NextRound(*run->spec, round.planned.key);
  for (size_t rank = 0; rank < workers; ++rank) {
    const v1::Standing& standing = run->prepared[rank]->standing();
    for (const v1::RoundRecord* record :
         {&standing.last(), &standing.validated(), &standing.current()}) {
      if (!record->has_done() || record->plan().round() != plan.round()) continue;
      round.done[rank] = record->done();
      if (record->has_committed()) round.committed[rank] = record->committed();
    }
  }
  // The others are told again what rank 0 has heard; what it has not is decided anew.
  round.commit_sent = round.committed[0].has_value();
}

}  // namespace

void CoordinatorCore::BeginAdoption(JobState* state) {
  state->adoption = Adoption{WithWorkers(*state, state->job.status().workers()),
                             lived_ + options_.adoption_timeout,
                             lived_,
                             {}};
  Set(state, "Ready", false, "CoordinatorRestarted", "the members are awaited");
}

// False when what the member holds is not awaited.
bool CoordinatorCore::TakeBack(Member* member, const v1::Hello& hello) {
  const auto found = jobs_.find(hello.current().job_id());
  if (found == jobs_.end() || !found->second.adoption.has_value()) return false;
  JobState* state = &found->second;
  const v1::JobStatus& status = state->job.status();
  const uint32_t epoch = hello.current().epoch();
  const int32_t rank = hello.rank();
  const bool is_worker = rank < state->adoption->spec->workers;
  if (epoch < status.run_epoch() || epoch > status.epoch() || rank < 0 ||
      rank >= state->adoption->spec->topology().ranks() ||
      is_worker != (member->role == v1::MEMBER_ROLE_MODEL) ||
      !state->adoption->members.emplace(rank, member->id).second) {
    return false;
  }
  state->adoption->last_hello = lived_;
  member->job_id = state->job.job_id();
  member->epoch = status.epoch();
  member->told_epoch = epoch;
  member->rank = rank;
  ContinueAdoption(state);
  return true;
}

void CoordinatorCore::ForgetAdopted(const std::string& member_id) {
  for (const std::string& id : active_) {
    std::optional<Adoption>& adoption = jobs_.at(id).adoption;
    if (!adoption.has_value()) continue;
    for (auto entry = adoption->members.begin(); entry != adoption->members.end(); ++entry) {
      if (entry->second != member_id) continue;
      adoption->members.erase(entry);
      break;
    }
  }
}

void CoordinatorCore::EndAdoption(JobState* state, absl::string_view reason) {
  if (!state->adoption.has_value()) return;
  for (const auto& [rank, id] : state->adoption->members) {
    ReleaseMember(members_.Find(id), /*abort=*/true, reason);
  }
  state->adoption.reset();
}

void CoordinatorCore::ContinueAdoption(JobState* state) {
  const Adoption& adoption = *state->adoption;
  const auto workers = static_cast<size_t>(adoption.spec->workers);
  // Ranks are in order: the workers are all there when the last of so many is one.
  const bool all_workers =
      adoption.members.size() >= workers &&
      std::next(adoption.members.begin(), workers - 1)->first == adoption.spec->workers - 1;
  const bool all =
      adoption.members.size() == static_cast<size_t>(adoption.spec->topology().ranks());
  if (!all_workers || (!all && lived_ - adoption.last_hello < kServersMayCome)) {
    if (lived_ < adoption.deadline) return;
    EndAdoption(state, "the job starts anew");
    Requeue(state, "CoordinatorRestarted",
            "the coordinator was restarted, and not all workers came back");
    return;
  }
  Run& run = state->run.emplace();
  run.spec = adoption.spec;
  run.first_epoch = state->job.status().run_epoch();
  run.epoch = state->job.status().epoch();
  for (const auto& [rank, id] : adoption.members) {
    members_.Find(id)->rank = run.ranks();
    run.members.push_back(id);
  }
  run.started = lived_;
  MarkRoundEnd(&run);
  run.connected = true;
  run.running = true;
  run.adopted = true;
  run.progressed = true;
  run.speeds = SpeedCorrection(run.ranks());
  if (WorkerLeaves(run)) run.stop = StopReason::kMemberLeaves;  // It has said so meanwhile.
  state->adoption.reset();
  CheckDeadline(state);  // It may have passed meanwhile.
  Set(state, "Ready", true, "MembersReady", "every worker is back");
  ChangePool(state, "the coordinator was restarted");
}

// Makes of the workers' reports what the coordinator knew before. False when they do not fit
// together, which ends the run.
bool CoordinatorCore::RebuildRounds(JobState* state) {
  Run& run = *state->run;
  const auto workers = static_cast<size_t>(run.spec->workers);
  const int64_t step = state->job.status().step() + 1;  // The first that is not recorded.
  size_t finished = 0;  // Workers that have finished or committed it.
  const v1::Standing* farthest = nullptr;
  for (size_t rank = 0; rank < workers; ++rank) {
    const v1::Standing& standing = run.prepared[rank]->standing();
    if (standing.step() != step && standing.step() != step - 1) {
      Interrupt(state, "Internal",
                absl::StrCat("rank ", rank, " stands at step ", standing.step(), " and the job at ",
                             step - 1));
      Schedule();
      return false;
    }
    finished += standing.step() == step ||
                (standing.current().has_done() && standing.current().plan().step() == step);
    if (farthest == nullptr || HowFar(standing) > HowFar(*farthest)) farthest = &standing;
  }
  run.position = FromProto(farthest->position());
  run.next = FirstRound(*run.spec, farthest->step());
  if (run.next.has_value()) run.next->round = farthest->round();
  std::map<int64_t, const v1::Plan*> rounds;  // To be recorded or gone on with, in order.
  const auto keep = [&rounds](const v1::Plan& plan) { rounds.emplace(plan.round(), &plan); };
  if (finished == workers) {
    const v1::Standing& first = run.prepared[0]->standing();
    keep(first.step() == step ? first.last().plan() : first.current().plan());
  }
  if (const v1::Plan* validated = LastValidated(run, farthest->step())) {
    if (state->job.status().last_validation().step() != validated->step()) {
      keep(*validated);
    } else {
      run.next = NextRound(*run.spec, ProgressOf(*validated, 0, 0).planned.key);
    }
  }
  if (farthest->begun() && farthest->has_current()) keep(farthest->current().plan());
  for (const auto& [round, plan] : rounds) AddRebuilt(*plan, &run);
  if (run.next.has_value()) run.next->round = std::max(run.next->round, farthest->round());
  RebuildSaves(state);
  if (run.sent.empty() && !run.next.has_value()) run.end = RunEnd::kDone;
  return true;
}

// Of rank 0's report. A checkpoint whose step is not recorded yet is: it was asked for with it.
void CoordinatorCore::RebuildSaves(JobState* state) {
  Run& run = *state->run;
  const v1::Standing& first = run.prepared[0]->standing();
  const int64_t recorded = state->job.status().step();
  bool asked = false;
  if (first.has_saved()) {
    const auto code = static_cast<absl::StatusCode>(first.saved().code());
    asked = first.saved().step() > recorded && code != absl::StatusCode::kDataLoss;
    if (asked) run.saving = run.saving_due = first.saved().step();
    run.last_save = first.saved();
    OnCheckpointWritten(state, first.saved());
  }
  if (first.saving() > 0) {
    asked |= first.saving() > recorded;
    run.saving = run.saving_due = first.saving();
  }
  if (run.sent.empty() || !run.sent.front().commit_sent) return;
  v1::CoordinatorMessage message;
  v1::Commit* commit = message.mutable_commit();
  *commit->mutable_job() = EpochOf(*state);
  commit->set_round(run.sent.front().planned.key.round);
  commit->set_checkpoint(asked);
  SendToRun(run, run.spec->workers, std::move(message));
}

}  // namespace rally
