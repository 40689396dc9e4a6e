#include "services/coordinator/paced_report.h"

#include <algorithm>
#include <cstddef>

namespace rally {

v1::PacedReport ReportPaced(const PacedSpec& paced, const RoundProgress& round,
                            absl::Duration duration) {
  StepForecast measured;
  measured.step_seconds = absl::ToDoubleSeconds(duration) / paced.time_scale;
  const Activity waiting = paced.stages > 1 ? Activity::kBubble : Activity::kImbalance;
  for (const std::optional<v1::RoundDone>& done : round.done) {
    DeviceForecast& device = measured.devices.emplace_back();
    double rest = measured.step_seconds;
    for (int a = 0; a < std::min(done->device_seconds_size(), kActivities); ++a) {
      device.seconds[static_cast<size_t>(a)] = done->device_seconds(a);
      rest -= done->device_seconds(a);
    }
    device.seconds[static_cast<size_t>(waiting)] += std::max(0.0, rest);
  }
  v1::PacedReport report;
  report.set_step_seconds(measured.step_seconds);
  report.set_predicted_step_seconds(round.planned.forecast->step_seconds);
  for (int a = 0; a < kActivities; ++a) {
    report.add_shares(measured.Share(static_cast<Activity>(a)));
    report.add_predicted_shares(round.planned.forecast->Share(static_cast<Activity>(a)));
  }
  return report;
}

}  // namespace rally
