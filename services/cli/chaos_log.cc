#include "services/cli/chaos_log.h"

#include <algorithm>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "proto/convert.h"
#include "services/cli/job_summary.h"
#include "services/coordinator/conditions.h"

namespace rally {
namespace {

// Whether a condition in this state is a bad sign. Of all but one, false is.
bool IsBad(const v1::Condition& condition) {
  const bool bad_when_true = condition.type() == "AttentionPoolEmpty";
  return condition.status() ==
         (bad_when_true ? v1::CONDITION_STATUS_TRUE : v1::CONDITION_STATUS_FALSE);
}

// What is worse in `after` than in `before`; empty when nothing is.
std::string SignOf(const v1::JobStatus& before, const v1::JobStatus& after) {
  if (after.restarts() > before.restarts()) return "restart";
  if (after.pool_changes() > before.pool_changes()) return "pool change";
  if (after.phase() != before.phase() && !IsFinal(after.phase())) {
    return absl::StrCat("phase ", PhaseWord(after.phase()));
  }
  for (const v1::Condition& condition : after.conditions()) {
    const v1::Condition* was = FindCondition(before, condition.type());
    if (IsBad(condition) && (was == nullptr || !IsBad(*was)) && !IsFinal(after.phase())) {
      return absl::StrCat(condition.type(), ": ", condition.reason());
    }
  }
  return "";
}

}  // namespace

void ChaosLog::Add(const v1::JobEvent& event, absl::Time at) {
  sequence_ = event.sequence();
  if (event.has_status()) AddStatus(event.status(), at);
  if (event.has_step()) AddStep(event.step(), at);
}

void ChaosLog::AddUnreachable(absl::Time at) { Sign("coordinator unreachable", at); }

void ChaosLog::AddStatus(const v1::JobStatus& status, absl::Time at) {
  const std::string sign = SignOf(status_, status);
  const int64_t step = status_.step();
  status_ = status;
  if (!steps_.empty()) status_.set_step(step);
  if (!sign.empty()) Sign(sign, at);
}

void ChaosLog::AddStep(const v1::StepReport& step, absl::Time at) {
  steps_.push_back({step.step(), at, FromProto(step.duration()), step.loss()});
  status_.set_step(step.step());
  if (faults_.empty()) return;
  FaultRecord& fault = faults_.back();
  if (at <= fault.begin) fault.step = std::max(fault.step, step.step());  // Heard of late.
  if (step.step() <= fault.step) return;
  if (!fault.recovered.has_value()) fault.recovered = at;
}

void ChaosLog::Begin(const std::string& victim, int64_t process_id, absl::Time at) {
  if (faults_.empty()) status_before_ = status_;
  FaultRecord& fault = faults_.emplace_back();
  fault.victim = victim;
  fault.process_id = process_id;
  fault.step = status_.step();
  fault.begin = at;
}

void ChaosLog::End(pid_t respawned, absl::Time at) {
  RALLY_CHECK(!faults_.empty() && !faults_.back().end.has_value(), "no fault is under way");
  faults_.back().respawned = respawned;
  faults_.back().end = at;
}

bool ChaosLog::settled() const {
  if (faults_.empty()) return true;
  const FaultRecord& last = faults_.back();
  if (!last.end.has_value() || !last.recovered.has_value() || steps_.empty()) return false;
  return steps_.back().at > *last.end && steps_.back().step > last.step;
}

void ChaosLog::Sign(const std::string& what, absl::Time at) {
  if (faults_.empty()) return;
  FaultRecord& fault = faults_.back();
  if (fault.detected.has_value() || at < fault.begin) return;
  fault.sign = what;
  fault.detected = at;
  // A step that was all but done when the fault struck has not met it.
  if (fault.recovered.has_value() && *fault.recovered < at) fault.recovered.reset();
}

}  // namespace rally
