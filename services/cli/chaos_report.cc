#include "services/cli/chaos_report.h"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/median.h"
#include "services/cli/job_summary.h"
#include "services/cli/or_null.h"

namespace rally {
namespace {

using Json = nlohmann::ordered_json;

std::optional<double> After(const FaultRecord& fault, const std::optional<absl::Time>& time) {
  if (!time.has_value()) return std::nullopt;
  return absl::ToDoubleSeconds(*time - fault.begin);
}

Delay DelayOf(const std::vector<FaultRecord>& faults,
              std::optional<absl::Time> FaultRecord::*moment) {
  std::vector<double> values;
  for (const FaultRecord& fault : faults) {
    if (const auto value = After(fault, fault.*moment); value.has_value()) values.push_back(*value);
  }
  if (values.empty()) return {};
  return {static_cast<int64_t>(values.size()), Median(values),
          *std::max_element(values.begin(), values.end())};
}

// Whether any fault reached into the step's time.
bool Disturbed(const CommittedStep& step, const std::vector<FaultRecord>& faults) {
  return std::any_of(faults.begin(), faults.end(), [&step](const FaultRecord& fault) {
    if (step.at <= fault.begin) return false;
    if (!fault.recovered.has_value() || !fault.end.has_value()) return true;
    return step.at - step.duration < std::max(*fault.recovered, *fault.end);
  });
}

std::optional<double> UndisturbedSeconds(const ChaosLog& log) {
  std::vector<double> values;
  for (const CommittedStep& step : log.steps()) {
    if (step.step == 1 || Disturbed(step, log.faults())) continue;  // The first one starts up.
    values.push_back(absl::ToDoubleSeconds(step.duration));
  }
  return values.empty() ? std::nullopt : std::optional<double>(Median(values));
}

// Steps made, made again and lost, and what their time was worth.
void CountSteps(const ChaosLog& log, absl::Time now, ChaosReport* report) {
  if (log.faults().empty()) return;
  absl::Time begin = log.faults().front().begin;
  absl::Time end = begin;
  int64_t last = log.faults().front().step;
  int64_t highest = last;
  for (const CommittedStep& step : log.steps()) {
    if (step.at <= log.faults().front().begin) {
      begin = step.at;
      last = highest = step.step;
      continue;
    }
    end = step.at;
    if (step.step <= last) report->steps_lost += last - step.step + 1;
    if (step.step <= highest) ++report->steps_run_again;
    if (step.step > highest) ++report->steps;
    last = step.step;
    highest = std::max(highest, last);
  }
  if (!log.settled()) end = std::max(end, now);
  const double seconds = absl::ToDoubleSeconds(end - begin);
  if (seconds <= 0 || !report->step_seconds.has_value()) return;
  report->effective_ratio = static_cast<double>(report->steps) * *report->step_seconds / seconds;
}

void CompareLosses(const ChaosLog& log, const CalmJob& calm, ChaosReport* report) {
  report->against = calm.job_id;
  for (const CommittedStep& step : log.steps()) {
    const auto expected = calm.losses.find(step.step);
    if (expected == calm.losses.end()) continue;
    ++report->steps_compared;
    const double difference = std::abs(step.loss - expected->second);
    const double relative = difference == 0 ? 0 : difference / std::abs(expected->second);
    report->loss_difference = std::max(report->loss_difference.value_or(0), relative);
  }
}

Json ToJson(const FaultRecord& fault) {
  const auto process = [](int64_t pid) { return pid == 0 ? Json(nullptr) : Json(pid); };
  return {{"time", absl::FormatTime(absl::RFC3339_full, fault.begin, absl::UTCTimeZone())},
          {"victim", fault.victim},
          {"process_id", process(fault.process_id)},
          {"respawned_process_id", process(fault.respawned)},
          {"step", fault.step},
          {"sign", fault.sign},
          {"detected_seconds", OrNull(After(fault, fault.detected))},
          {"recovered_seconds", OrNull(After(fault, fault.recovered))}};
}

Json ToJson(const Delay& delay) {
  const auto value = [&delay](double x) { return delay.count == 0 ? Json(nullptr) : Json(x); };
  return {{"count", delay.count}, {"median", value(delay.median)}, {"worst", value(delay.worst)}};
}

std::string Seconds(std::optional<double> value) {
  return value.has_value() ? absl::StrFormat("%.3f s", *value) : "-";
}

std::string DelayText(const Delay& delay, size_t faults) {
  if (delay.count == 0) return "never";
  return absl::StrFormat("after %.3f s (median), %.3f s (worst), %d of %d faults", delay.median,
                         delay.worst, delay.count, faults);
}

std::string FaultTable(const std::vector<FaultRecord>& faults) {
  int width = 6;
  for (const FaultRecord& fault : faults) width = std::max<int>(width, fault.victim.size());
  std::string text = absl::StrFormat("%4s  %-12s  %-*s  %6s  %9s  %9s  %s\n", "", "TIME (UTC)",
                                     width, "VICTIM", "STEP", "DETECTED", "RECOVERED", "SIGN");
  for (size_t i = 0; i < faults.size(); ++i) {
    const FaultRecord& fault = faults[i];
    absl::StrAppendFormat(&text, "%4d  %-12s  %-*s  %6d  %9s  %9s  %s\n", i + 1,
                          absl::FormatTime("%H:%M:%E3S", fault.begin, absl::UTCTimeZone()), width,
                          fault.victim, fault.step, Seconds(After(fault, fault.detected)),
                          Seconds(After(fault, fault.recovered)),
                          fault.sign.empty() ? "-" : fault.sign);
  }
  return text;
}

}  // namespace

ChaosReport MakeChaosReport(const ChaosLog& log, const CalmJob* calm, absl::Time now) {
  ChaosReport report;
  report.state = PhaseWord(log.status().phase());
  report.faults = log.faults();
  report.detected = DelayOf(log.faults(), &FaultRecord::detected);
  report.recovered = DelayOf(log.faults(), &FaultRecord::recovered);
  report.step_seconds = UndisturbedSeconds(log);
  CountSteps(log, now, &report);
  if (!log.faults().empty()) {
    report.pool_changes = log.status().pool_changes() - log.status_before().pool_changes();
    report.restarts = log.status().restarts() - log.status_before().restarts();
  }
  if (calm != nullptr) CompareLosses(log, *calm, &report);
  return report;
}

Json ToJson(const ChaosReport& report) {
  Json faults = Json::array();
  for (const FaultRecord& fault : report.faults) faults.push_back(ToJson(fault));
  return {{"job_id", report.job_id},
          {"fault", report.what},
          {"state", report.state},
          {"faults", std::move(faults)},
          {"detected_seconds", ToJson(report.detected)},
          {"recovered_seconds", ToJson(report.recovered)},
          {"steps", report.steps},
          {"steps_run_again", report.steps_run_again},
          {"steps_lost", report.steps_lost},
          {"pool_changes", report.pool_changes},
          {"restarts", report.restarts},
          {"step_seconds", OrNull(report.step_seconds)},
          {"effective_ratio", OrNull(report.effective_ratio)},
          {"against", report.against.empty() ? Json(nullptr) : Json(report.against)},
          {"steps_compared", report.steps_compared},
          {"loss_difference", OrNull(report.loss_difference)}};
}

std::string ToText(const ChaosReport& report) {
  const size_t count = report.faults.size();
  std::string text = absl::StrCat("job ", report.job_id, " is ", report.state, " after ", count,
                                  count == 1 ? " fault: " : " faults: ", report.what, "\n");
  if (count > 0) absl::StrAppend(&text, FaultTable(report.faults));
  absl::StrAppend(&text, "  detected      ", DelayText(report.detected, count), "\n");
  absl::StrAppend(&text, "  recovered     ", DelayText(report.recovered, count), "\n");
  absl::StrAppend(&text, "  steps         ", report.steps, " made, ", report.steps_lost, " lost, ",
                  report.steps_run_again, " run again\n");
  absl::StrAppend(&text, "  pool changes  ", report.pool_changes, "\n");
  absl::StrAppend(&text, "  restarts      ", report.restarts, "\n");
  if (report.effective_ratio.has_value()) {
    absl::StrAppendFormat(
        &text, "  time          %.3f of it effective: undisturbed, a step takes %.3f s\n",
        *report.effective_ratio, *report.step_seconds);
  }
  if (report.loss_difference.has_value()) {
    absl::StrAppendFormat(&text, "  loss          %.1e at most from job %s's, over %d steps\n",
                          *report.loss_difference, report.against, report.steps_compared);
  }
  return text;
}

}  // namespace rally
