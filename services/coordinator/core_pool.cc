// The attention servers of a running job, coming and going: see coordinator_core.h.
//
// Core attention has no state, so a server's loss loses nothing: the workers hold the inputs of
// what it was computing. ChangePool gives the run a new epoch with the servers there are and tells
// all of its members (Regroup). They give up what travels between them, open transports for the new
// epoch and say where they stand (Prepared). Then the round that is not complete everywhere is laid
// over the new pool, with its documents where they are, and goes on from the first phase that a
// worker misses (Connect, Plan). Later rounds are planned anew. No worker begins anything again.
//
// A change may overtake another one at any point: only answers of the newest epoch count.
#include <algorithm>
#include <limits>
#include <utility>

#include <absl/strings/str_cat.h>

#include "proto/convert.h"
#include "services/coordinator/coordinator_core.h"

namespace rally {
namespace {

constexpr int64_t kAllPhases = std::numeric_limits<int64_t>::max();

// Phases of `round` that a worker has.
int64_t CollectedIn(int64_t round, const v1::Standing& standing) {
  if (standing.round() != round) return standing.round() > round ? kAllPhases : 0;
  return standing.complete() ? kAllPhases : standing.collected();
}

// Whether all workers are done with the round, and servers' reports are waited for.
bool MissesReports(const Run& run) {
  if (run.sent.empty()) return false;
  const RoundProgress& round = run.sent.front();
  return AllPresent(round.done, round.committed.size()) && !round.computed();
}

}  // namespace

bool CoordinatorCore::CanChangePool(const JobState& state) {
  // Emulated devices stand for a fixed machine.
  return state.run.has_value() && state.run->running && !state.run->spec->paced.enabled();
}

void CoordinatorCore::ChangePool(JobState* state, absl::string_view reason) {
  Run& run = *state->run;
  run.pool_due = false;
  if (run.surely_ends()) return;  // Nothing is computed any more.
  run.members = NextPool(state);
  v1::JobStatus* status = state->job.mutable_status();
  status->set_epoch(run.epoch + 1);
  status->set_pool_changes(status->pool_changes() + 1);
  Touch(state);
  TellPool(state, reason);
  run.prepared.assign(run.members.size(), std::nullopt);
  run.regrouping = true;
  run.regroup_began = lived_;
  run.resumed.reset();
  run.trouble_since.reset();
  // A plan that no member has was made for the last pool.
  run.requested = false;
  if (run.in_hand.has_value()) {
    run.next = run.in_hand->key;
    run.position = run.in_hand->position;
    run.in_hand.reset();
  }
  for (RoundProgress& round : run.sent) {
    round.regrouped = true;
    round.done.resize(static_cast<size_t>(run.spec->workers));
    round.done.resize(run.members.size());
  }
  ShowPool(state, reason);
  Advance(state);  // A round may have waited for the report of a server that is gone.
}

// The workers, the servers that stay, and idle ones up to the number the job wants.
std::vector<std::string> CoordinatorCore::NextPool(JobState* state) {
  const Run& run = *state->run;
  const auto workers = run.members.begin() + run.spec->workers;
  std::vector<std::string> pool(run.members.begin(), workers);
  for (auto id = workers; id != run.members.end(); ++id) {
    Member* member = members_.Find(*id);
    if (member == nullptr || !member->holds(state->job.job_id(), run.epoch)) continue;
    if (member->leaving) {
      ReleaseMember(member, /*abort=*/true, "it leaves the pool");
    } else {
      pool.push_back(*id);
    }
  }
  const auto wanted = static_cast<size_t>(run.spec->topology().ranks());
  for (const auto& [id, member] : members_.members()) {
    if (pool.size() >= wanted) break;
    if (CanServe(member)) pool.push_back(id);
  }
  return pool;
}

// Whether an idle attention server is there that one need not wait for, and that has not just
// failed.
bool CoordinatorCore::CanServe(const Member& member) const {
  return member.role == v1::MEMBER_ROLE_ATTENTION && member.idle() && lived_ >= member.not_before &&
         lived_ - member.last_seen <= options_.server_timeout;
}

// Begins the next epoch with run.members: tells those that stay, and prepares the others.
void CoordinatorCore::TellPool(JobState* state, absl::string_view reason) {
  Run& run = *state->run;
  const uint32_t last_epoch = std::exchange(run.epoch, state->job.status().epoch());
  run.single_host = true;
  for (const std::string& id : run.members) {
    run.single_host &= members_.Find(id)->host == members_.Find(run.members[0])->host;
  }
  std::vector<int32_t> previous(run.members.size(), -1);
  for (int32_t rank = 0; rank < run.ranks(); ++rank) {
    Member* member = members_.Find(run.members[rank]);
    if (!member->holds(state->job.job_id(), last_epoch)) {
      Prepare(state, rank);
      continue;
    }
    previous[rank] = member->rank;
    v1::CoordinatorMessage message;
    v1::Regroup* regroup = message.mutable_regroup();
    regroup->mutable_job()->set_job_id(state->job.job_id());
    regroup->mutable_job()->set_epoch(member->told_epoch);
    regroup->set_epoch(run.epoch);
    regroup->set_rank(rank);
    regroup->set_ranks(run.ranks());
    regroup->set_single_host(run.single_host);
    regroup->set_reason(std::string(reason));
    regroup->set_report(run.adopted);
    member->epoch = run.epoch;
    member->told_epoch = run.epoch;
    member->rank = rank;
    Send(*member, std::move(message));
  }
  run.speeds.Renumber(previous);
}

void CoordinatorCore::ShowPool(JobState* state, absl::string_view reason) {
  const int32_t servers = state->run->servers();
  const int32_t wanted = state->run->spec->attention.dedicated;
  Set(state, "AttentionPoolComplete", servers == wanted,
      servers == wanted ? "AllServers" : "ServersMissing",
      absl::StrCat(servers, " of ", wanted, " attention servers; ", reason));
  if (AwaitsServers(*state)) {
    Set(state, "AttentionPoolEmpty", true, "NoServers",
        absl::StrCat("training waits for an attention server; ", reason));
  } else if (servers > 0) {
    Set(state, "AttentionPoolEmpty", false, "ServersJoined",
        absl::StrCat(servers, " attention servers"));
  }
}

bool CoordinatorCore::AwaitsServers(const JobState& state) const {
  const AttentionSpec& attention = state.run->spec->attention;
  return state.run->regrouping && attention.dedicated > 0 && !attention.in_place &&
         state.run->servers() == 0;
}

void CoordinatorCore::FillPools() {
  const auto can_serve = [this](const auto& entry) { return CanServe(entry.second); };
  for (const std::string& id : active_) {
    JobState& state = jobs_.at(id);
    if (!CanChangePool(state) || state.run->closing) continue;
    if (state.run->servers() >= state.run->spec->attention.dedicated) continue;
    const auto& members = members_.members();
    if (std::none_of(members.begin(), members.end(), can_serve)) return;
    if (AwaitsServers(state)) {
      ChangePool(&state, "a server has joined");
    } else {
      state.run->pool_due = true;
    }
  }
}

void CoordinatorCore::OnStanding(const Member& member, JobState* state,
                                 const v1::Prepared& message) {
  Run& run = *state->run;
  if (run.resumed.has_value()) return;  // A repeat.
  run.prepared[member.rank] = message;
  if (AllPresent(run.prepared) && !AwaitsServers(*state)) ResumeRounds(state);
}

// Everybody has said where it stands.
void CoordinatorCore::ResumeRounds(JobState* state) {
  Run& run = *state->run;
  if (std::exchange(run.adopted, false) && !RebuildRounds(state)) return;
  int64_t open = kAllPhases;  // The first round that a worker has not all of.
  for (int32_t rank = 0; rank < run.spec->workers; ++rank) {
    const v1::Standing& standing = run.prepared[rank]->standing();
    open = std::min(open, standing.round() + (standing.complete() ? 1 : 0));
  }
  bool begun = false;
  for (int32_t rank = 0; rank < run.spec->workers; ++rank) {
    const v1::Standing& standing = run.prepared[rank]->standing();
    begun |= standing.round() == open && standing.begun() && !standing.complete();
  }
  while (!run.sent.empty() && run.sent.back().planned.key.round >= open + (begun ? 1 : 0)) {
    run.next = run.sent.back().planned.key;
    run.position = run.sent.back().planned.position;
    run.sent.pop_back();
  }
  if (!begun) return ConnectPool(state);
  if (run.sent.empty() || run.sent.back().planned.key.round != open) {
    Interrupt(state, "Internal",
              absl::StrCat("a worker is in round ", open, ", which has no plan"));
    Schedule();
    return;
  }
  const PlannedRound& planned = run.sent.back().planned;
  run.resumed = planned.key;
  run.requested = true;
  RequestPlan request{state->job.job_id(), run.epoch, run.spec, planned.key, planned.position};
  request.resumed = planned.plan;
  request.dedicated = run.servers();
  if (!run.spec->deterministic) request.weights = run.speeds.Weights();
  visible_.push_back(std::move(request));
}

void CoordinatorCore::ConnectPool(JobState* state) {
  Run& run = *state->run;
  run.regrouping = false;
  SendConnect(state);
  if (run.resumed.has_value()) {
    v1::CoordinatorMessage message = PlanMessageOf(*state, run.sent.back().planned);
    for (int32_t rank = 0; rank < run.spec->workers; ++rank) {
      message.mutable_plan()->add_collected(
          CollectedIn(run.resumed->round, run.prepared[rank]->standing()));
    }
    SendToRun(run, run.ranks(), std::move(message));
    run.resumed.reset();
  }
  for (std::optional<v1::Prepared>& prepared : run.prepared) prepared->clear_standing();
  Pump(state);
  Advance(state);
  if (state->run.has_value()) EndWhenSaved(state);
}

// A member misses something of another. Whoever is silent as well is not merely slow. Where nobody
// is, a failed transport is made anew.
void CoordinatorCore::OnTrouble(const Member& member, JobState* state, const v1::Trouble& message) {
  Run& run = *state->run;
  const bool news = message.job().epoch() == run.epoch && !run.regrouping;
  if (!run.trouble_since.has_value()) run.trouble_since = lived_;
  LoseSilentServers(state);
  if (!news || !message.failed() || !state->run.has_value() || run.regrouping) return;
  const std::string text =
      absl::StrCat("rank ", member.rank, " (", member.id, "): ", message.message());
  if (!CanChangePool(*state) || ++run.pool_failures > options_.pool_failures) {
    Interrupt(state, "PoolFailed", text);
    Schedule();
  } else {
    ChangePool(state, text);
  }
}

void CoordinatorCore::LoseSilentServers(JobState* state) {
  Run& run = *state->run;
  // While the pool changes, everybody's answer is missed.
  const bool missed = run.trouble_since.has_value() || MissesReports(run) ||
                      (run.regrouping && !run.resumed.has_value());
  if (!missed || !CanChangePool(*state)) return;
  const bool late = run.regrouping && lived_ - run.regroup_began > options_.regroup_timeout;
  std::vector<std::string> silent;
  for (int32_t rank = run.spec->workers; rank < run.ranks(); ++rank) {
    const Member* member = members_.Find(run.members[rank]);
    if (member == nullptr) continue;
    const bool stuck = late && !run.prepared[rank].has_value();  // Though it sends heartbeats.
    if (stuck || lived_ - member->last_seen > options_.server_timeout) silent.push_back(member->id);
  }
  for (const std::string& id : silent) {
    visible_.push_back(
        CloseSession{members_.Find(id)->session,
                     absl::DeadlineExceededError("the member did not answer in time")});
    Lose(id, "does not answer");
  }
}

}  // namespace rally
