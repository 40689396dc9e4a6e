#include "services/cli/paced_summary.h"

#include <cstddef>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "common/median.h"
#include "scheduler/step_forecast.h"

namespace rally {
namespace {

// Of one figure of every step.
template <typename Figure>
double MedianOf(const std::vector<v1::StepReport>& steps, const Figure& figure) {
  std::vector<double> values;
  for (const v1::StepReport& step : steps) values.push_back(figure(step));
  return Median(std::move(values));
}

template <typename Shares>
nlohmann::ordered_json MeanShares(const std::vector<v1::StepReport>& steps, const Shares& shares) {
  nlohmann::ordered_json json;
  for (int a = 0; a < kActivities; ++a) {
    double sum = 0.0;
    for (const v1::StepReport& step : steps) sum += shares(step.paced())[a];
    json[std::string(ActivityName(static_cast<Activity>(a)))] =
        sum / static_cast<double>(steps.size());
  }
  return json;
}

}  // namespace

void PacedSummary::Add(const v1::StepReport& step) {
  if (step.has_paced() && step.paced().shares_size() == kActivities &&
      step.paced().predicted_shares_size() == kActivities) {
    steps_.push_back(step);
  }
}

std::vector<v1::StepReport> PacedSummary::Counted() const {
  return {steps_.begin() + (steps_.size() > 1 ? 1 : 0), steps_.end()};
}

nlohmann::ordered_json PacedSummary::ToJson() const {
  const std::vector<v1::StepReport> steps = Counted();
  const auto seconds = [](const v1::StepReport& step) { return step.paced().step_seconds(); };
  const auto predicted = [](const v1::StepReport& step) {
    return step.paced().predicted_step_seconds();
  };
  return {
      {"steps", steps.size()},
      {"step_seconds", MedianOf(steps, seconds)},
      {"predicted_step_seconds", MedianOf(steps, predicted)},
      {"ratio", MedianOf(steps, [&](const auto& step) { return seconds(step) / predicted(step); })},
      {"tokens_per_second", MedianOf(steps,
                                     [&](const auto& step) {
                                       return static_cast<double>(step.tokens()) / seconds(step);
                                     })},
      {"shares", MeanShares(steps, [](const auto& paced) { return paced.shares(); })},
      {"predicted_shares",
       MeanShares(steps, [](const auto& paced) { return paced.predicted_shares(); })}};
}

std::string PacedSummary::ToText() const {
  const nlohmann::ordered_json json = ToJson();
  std::string text = absl::StrFormat(
      "  emulated step   %.4g s, %.3f of the simulator's %.4g s (median of %d steps)\n"
      "  emulated speed  %.0f tokens/s\n"
      "  devices                         measured  simulated\n",
      json["step_seconds"].get<double>(), json["ratio"].get<double>(),
      json["predicted_step_seconds"].get<double>(), json["steps"].get<int>(),
      json["tokens_per_second"].get<double>());
  for (const auto& [name, share] : json["shares"].items()) {
    const double predicted = json["predicted_shares"][name].get<double>();
    if (share.get<double>() == 0.0 && predicted == 0.0) continue;
    absl::StrAppendFormat(&text, "    %-16s %20.1f %% %7.1f %%\n", name,
                          100.0 * share.get<double>(), 100.0 * predicted);
  }
  return text;
}

}  // namespace rally
