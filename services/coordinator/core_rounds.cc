// A run from Prepared to its last round: see coordinator_core.h.
#include <algorithm>
#include <cmath>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "proto/convert.h"
#include "services/coordinator/conditions.h"
#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/paced_report.h"
#include "services/coordinator/round_schedule.h"

namespace rally {
namespace {

// Planning runs beside the step before, on a core that may be a worker's.
constexpr double kSearchShare = 0.1;  // Of the last step's time.

// By rank. Pairs stand for the prediction: every rank runs the same kernel.
std::vector<AttentionTime> AttentionTimes(const RoundProgress& round) {
  std::vector<AttentionTime> times;
  for (const std::optional<v1::RoundDone>& done : round.done) {
    times.push_back({absl::ToDoubleSeconds(FromProto(done->attention_compute())),
                     static_cast<double>(done->attention_pairs())});
  }
  return times;
}

v1::StepReport ReportStep(const RoundProgress& round, absl::Duration duration) {
  const v1::RoundDone& first = *round.done[0];
  v1::StepReport report;
  report.set_step(round.planned.key.step);
  report.set_loss(first.loss());
  report.set_gradient_norm(first.gradient_norm());
  report.set_learning_rate(first.learning_rate());
  report.set_tokens(round.planned.tokens);
  *report.mutable_duration() = ToProto(duration);
  report.set_imbalance_without_plan(round.planned.imbalance_without_plan);
  report.set_imbalance_with_plan(round.planned.imbalance_with_plan);
  *report.mutable_planning() = ToProto(round.planned.planning);
  int64_t bytes = 0;
  double pairs = 0.0;
  for (const std::optional<v1::RoundDone>& done : round.done) {
    if (!done.has_value()) continue;
    bytes += done->bytes_sent();
    pairs += static_cast<double>(done->attention_pairs());
  }
  report.set_attention_bytes(bytes);
  for (const std::optional<v1::RoundDone>& done : round.done) {
    const double own = done.has_value() ? static_cast<double>(done->attention_pairs()) : 0.0;
    report.add_attention_shares(static_cast<float>(own / std::max(pairs, 1.0)));
  }
  return report;
}

}  // namespace

void CoordinatorCore::OnPrepared(const Member& member, JobState* state,
                                 const v1::Prepared& message) {
  Run& run = *state->run;
  if (message.job().epoch() != run.epoch) return;  // Of a pool that has changed again.
  if (run.regrouping) return OnStanding(member, state, message);
  if (run.connected) return;  // A repeat.
  run.prepared[member.rank] = message;
  if (!AllPresent(run.prepared)) return;
  run.connected = true;
  SendConnect(state);
}

// To all members: where all of them are, and what only they know.
void CoordinatorCore::SendConnect(JobState* state) {
  const Run& run = *state->run;
  v1::CoordinatorMessage out;
  v1::Connect* connect = out.mutable_connect();
  *connect->mutable_job() = EpochOf(*state);
  for (const std::optional<v1::Prepared>& prepared : run.prepared) {
    connect->add_transport_addresses(prepared->transport_address());
  }
  connect->set_rendezvous(run.prepared[0]->rendezvous());
  if (options_.make_secret) connect->set_secret(options_.make_secret());
  if (run.resumed.has_value()) connect->set_resumed_round(run.resumed->round);
  SendToRun(run, run.ranks(), std::move(out));
}

void CoordinatorCore::OnReady(const Member& member, JobState* state, const v1::Ready& message) {
  Run& run = *state->run;
  if (!run.connected || run.running) return;
  run.ready[member.rank] = message;
  if (!AllPresent(run.ready)) return;
  const int64_t known = state->job.status().checkpoint_step();
  if (known > 0 && run.ready[0]->step() == 0) {  // An older one will do: the newest may be damaged.
    Interrupt(state, "CheckpointMissing",
              absl::StrCat("rank 0 (", run.members[0],
                           ") begins anew, without the checkpoint of step ", known));
    Schedule();
    return;
  }
  for (int32_t rank = 1; rank < run.spec->workers; ++rank) {
    const v1::Ready& ready = *run.ready[rank];
    if (ready.step() == run.ready[0]->step() &&
        FromProto(ready.position()) == FromProto(run.ready[0]->position())) {
      continue;
    }
    Interrupt(state, "Internal",
              absl::StrCat("rank ", rank, " stands at step ", ready.step(), ", rank 0 at step ",
                           run.ready[0]->step()));
    Schedule();
    return;
  }
  BeginRounds(state);
}

void CoordinatorCore::BeginRounds(JobState* state) {
  Run& run = *state->run;
  run.running = true;
  MarkRoundEnd(&run);
  run.position = FromProto(run.ready[0]->position());
  const int64_t step = run.ready[0]->step();
  run.next = FirstRound(*run.spec, step);
  run.speeds = SpeedCorrection(run.ranks());
  state->job.mutable_status()->set_step(step);
  if (step > 0) state->job.mutable_status()->set_checkpoint_step(step);
  state->job.mutable_status()->set_workers(run.spec->workers);
  SetPhase(state, v1::JOB_PHASE_RUNNING);
  Set(state, "Ready", true, "MembersReady", "every member is ready");
  Set(state, "Progressing", true, "Training",
      step == 0 ? "training from the start" : absl::StrCat("training on from step ", step));
  Pump(state);
  if (!run.next.has_value() && !run.requested) {
    EndRun(state, /*abort=*/false, "the job is done");
    FinishJob(state, v1::JOB_PHASE_SUCCEEDED, "Succeeded",
              absl::StrCat("nothing to do: training stood at step ", step, " already"));
    Schedule();
  }
}

void CoordinatorCore::On(const PlanReady& event) {
  const auto found = jobs_.find(event.job_id);
  if (found == jobs_.end() || !found->second.run.has_value()) return;
  JobState* state = &found->second;
  Run& run = *state->run;
  if (run.epoch != event.epoch || !run.requested) return;
  run.requested = false;
  if (std::exchange(run.resumed, std::nullopt).has_value()) {
    run.sent.back().planned.plan = event.planned.plan;
    run.resumed = event.planned.key;
    ConnectPool(state);
    return;
  }
  if (event.planned.key.kind == PlanKind::kTrain) run.position = event.planned.next_position;
  run.in_hand = event.planned;
  run.next = NextRound(*run.spec, event.planned.key);
  Pump(state);
}

void CoordinatorCore::On(const PlanFailed& event) {
  const auto found = jobs_.find(event.job_id);
  if (found == jobs_.end() || !found->second.run.has_value()) return;
  JobState* state = &found->second;
  if (state->run->epoch != event.epoch) return;
  const std::string text =
      absl::StrCat(absl::StatusCodeToString(event.status.code()), ": ", event.status.message());
  if (IsUserError(event.status.code()) && state->run->stop != StopReason::kCancel) {
    EndRun(state, /*abort=*/true, "planning failed");
    FinishJob(state, v1::JOB_PHASE_FAILED, "PlanningFailed", text);
  } else {
    Interrupt(state, "PlanningFailed", text);
  }
  Schedule();
}

void CoordinatorCore::Pump(JobState* state) {
  Run& run = *state->run;
  if (run.closing || run.regrouping) return;
  if (run.in_hand.has_value() && run.sent.size() < 2) SendPlan(state);
  if (run.in_hand.has_value() || run.requested || !run.next.has_value()) return;
  run.requested = true;
  RequestPlan request{state->job.job_id(), run.epoch, run.spec, *run.next, run.position};
  request.dedicated = run.servers();
  // Emulated devices run at their model's speed, and leave no core to search on.
  if (!run.spec->deterministic && !run.spec->paced.enabled()) {
    request.search = run.last_step * kSearchShare;
    if (!run.spec->topology().local()) request.weights = run.speeds.Weights();
  }
  visible_.push_back(std::move(request));
}

void CoordinatorCore::SendPlan(JobState* state) {
  Run& run = *state->run;
  SendToRun(run, run.ranks(), PlanMessageOf(*state, *run.in_hand));
  RoundProgress& round = run.sent.emplace_back();
  round.planned = std::move(*run.in_hand);
  round.done.resize(run.ranks());
  round.committed.resize(run.spec->workers);
  run.in_hand.reset();
}

void CoordinatorCore::OnRoundDone(const Member& member, JobState* state,
                                  const v1::RoundDone& message) {
  // A member may be one round ahead of the slowest: a validation ends without a commit.
  for (RoundProgress& round : state->run->sent) {
    if (round.planned.key.round != message.round()) continue;
    round.done[member.rank] = message;
    Advance(state);
    return;
  }
}

void CoordinatorCore::OnCommitted(const Member& member, JobState* state,
                                  const v1::Committed& message) {
  Run& run = *state->run;
  if (run.sent.empty() || member.rank >= run.spec->workers) return;
  RoundProgress& round = run.sent.front();
  if (!round.commit_sent || round.planned.key.round != message.round()) return;
  round.committed[member.rank] = message;
  Advance(state);
}

// Takes the run as far as its members' messages allow.
void CoordinatorCore::Advance(JobState* state) {
  while (state->run.has_value() && !state->run->sent.empty()) {
    if (state->run->end != RunEnd::kNone) return;  // Nothing more is committed.
    const RoundProgress& round = state->run->sent.front();
    if (!round.computed()) return;
    if (round.planned.key.kind == PlanKind::kTrain) {
      if (!AdvanceTraining(state)) return;
    } else {
      FinishValidation(state, round);
    }
    FinishRound(state);
  }
}

// True when the front round's step is committed.
bool CoordinatorCore::AdvanceTraining(JobState* state) {
  RoundProgress& round = state->run->sent.front();
  if (!round.commit_sent) SendCommit(state, &round);
  if (!state->run.has_value() || !AllPresent(round.committed)) return false;
  return FinishStep(state, round);
}

void CoordinatorCore::SendCommit(JobState* state, RoundProgress* round) {
  Run& run = *state->run;
  const int64_t step = round->planned.key.step;
  if (!std::isfinite(round->done[0]->loss())) {
    EndRun(state, /*abort=*/true, "the loss is not finite");
    FinishJob(state, v1::JOB_PHASE_FAILED, "LossNotFinite",
              absl::StrCat("the loss of step ", step,
                           " is not a finite number; the step was not applied"));
    Schedule();
    return;
  }
  if (run.stop == StopReason::kNone && CanGrow(*state, step)) run.stop = StopReason::kFullStrength;
  const bool stop = run.stop != StopReason::kNone;
  v1::CoordinatorMessage message;
  v1::Commit* commit = message.mutable_commit();
  *commit->mutable_job() = EpochOf(*state);
  commit->set_round(round->planned.key.round);
  commit->set_checkpoint(
      TakeCheckpoint(state, step, /*last=*/stop || step == run.spec->training.steps));
  round->commit_sent = true;
  run.closing = stop;
  SendToRun(run, run.spec->workers, std::move(message));
}

// Records a committed step. False when the workers disagree, which ends the run.
bool CoordinatorCore::FinishStep(JobState* state, const RoundProgress& round) {
  v1::JobStatus* status = state->job.mutable_status();
  const int64_t step = round.planned.key.step;
  std::string checksum;
  for (const std::optional<v1::Committed>& committed : round.committed) {
    const std::string& theirs = committed->weights_checksum();
    if (checksum.empty()) checksum = theirs;
    if (!theirs.empty() && theirs != checksum) {
      Interrupt(state, "Internal",
                absl::StrCat("workers hold different weights after step ", step));
      Schedule();
      return false;
    }
  }
  v1::JobEvent event;
  if (!round.regrouped) state->run->speeds.Observe(AttentionTimes(round));
  state->run->last_step = now_ - state->run->last_round_end;
  *event.mutable_step() = ReportStep(round, state->run->last_step);
  if (state->run->spec->paced.enabled()) {
    *event.mutable_step()->mutable_paced() =
        ReportPaced(state->run->spec->paced, round, state->run->last_step);
  }
  MarkRoundEnd(&*state->run);
  state->run->progressed = true;
  state->fruitless_runs = 0;
  status->set_step(step);
  *status->mutable_last_step() = event.step();
  if (step == state->run->spec->training.steps) status->set_weights_checksum(checksum);
  AppendEvent(state, std::move(event));
  if (const auto early = state->run->saved_early) OnCheckpointWritten(state, *early);
  Touch(state);
  return true;
}

void CoordinatorCore::FinishValidation(JobState* state, const RoundProgress& round) {
  v1::JobEvent event;
  v1::ValidationReport* report = event.mutable_validation();
  report->set_step(round.planned.key.step);
  report->set_loss(round.done[0]->loss());
  report->set_tokens(round.planned.tokens);
  *state->job.mutable_status()->mutable_last_validation() = *report;
  AppendEvent(state, std::move(event));
  // A step's duration is that of its training.
  MarkRoundEnd(&*state->run);
  Touch(state);
}

void CoordinatorCore::MarkRoundEnd(Run* run) {
  run->last_round_end = now_;
  run->waiting_since = lived_;
}

// The front round is over: on to the next one, or the run's end.
void CoordinatorCore::FinishRound(JobState* state) {
  Run& run = *state->run;
  run.sent.pop_front();
  run.trouble_since.reset();
  run.pool_failures = 0;
  const bool done =
      run.sent.empty() && !run.in_hand.has_value() && !run.requested && !run.next.has_value();
  if (!done && !run.closing && run.pool_due) return ChangePool(state, "servers join or leave");
  if (!done && !run.closing) return Pump(state);
  run.end = done ? RunEnd::kDone : RunEnd::kStopped;
  EndWhenSaved(state);
}

}  // namespace rally
