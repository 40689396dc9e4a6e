#include "scheduler/step_forecast.h"

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

namespace rally {

absl::string_view ActivityName(Activity activity) {
  constexpr absl::string_view kNames[kActivities] = {"linear", "attention", "tensor_parallel",
                                                     "update", "imbalance", "communication",
                                                     "bubble", "reduction"};
  return kNames[static_cast<size_t>(activity)];
}

double StepForecast::Share(Activity activity) const {
  if (devices.empty() || step_seconds <= 0.0) return 0.0;
  double seconds = 0.0;
  for (const DeviceForecast& device : devices) {
    seconds += device.seconds[static_cast<size_t>(activity)];
  }
  return seconds / (step_seconds * static_cast<double>(devices.size()));
}

std::string ChromeTrace(const StepForecast& forecast) {
  std::string text = "{\"displayTimeUnit\":\"ms\",\"traceEvents\":[\n";
  for (size_t device = 0; device < forecast.devices.size(); ++device) {
    absl::StrAppend(&text, "{\"ph\":\"M\",\"name\":\"process_name\",\"pid\":", device,
                    ",\"args\":{\"name\":\"device ", device, "\"}},\n");
  }
  for (const TimelineEvent& event : forecast.timeline) {
    absl::StrAppend(&text, "{\"ph\":\"X\",\"name\":\"", event.name, "\",\"cat\":\"",
                    ActivityName(event.activity), "\",\"pid\":", event.device,
                    ",\"tid\":", event.message ? 1 : 0,
                    absl::StrFormat(",\"ts\":%.3f,\"dur\":%.3f},\n", event.begin * 1e6,
                                    (event.end - event.begin) * 1e6));
  }
  absl::StrAppend(&text, "{\"ph\":\"M\",\"name\":\"end\",\"pid\":0}\n]}\n");
  return text;
}

}  // namespace rally
