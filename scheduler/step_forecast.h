// StepForecast: what the simulator says of one training step.
//
// Plain data, safe to copy and to read from any thread. A device is a rank of the plan: one
// accelerator, or a tensor-parallel group whose members do alike; bytes and memory are then those
// of one member.
#ifndef RALLY_SCHEDULER_STEP_FORECAST_H_
#define RALLY_SCHEDULER_STEP_FORECAST_H_

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include <absl/strings/string_view.h>

#include "scheduler/topology.h"

namespace rally {

// What a device does with its time. The first four are work, the others are idle time by cause.
enum class Activity : uint8_t {
  kLinear = 0,      // Layers without core attention, embedding, head, loss.
  kAttention,       // CA-tasks.
  kTensorParallel,  // Collectives inside a tensor-parallel group.
  kUpdate,          // Optimizer.
  kImbalance,       // Waiting for a device that is still at work: for what it will send.
  kCommunication,   // Waiting for what is on its way.
  kBubble,          // The same two, of a pipeline: for another stage.
  kReduction,       // Gradients on their way.
};
inline constexpr int kActivities = 8;

// "linear", "attention", ...
absl::string_view ActivityName(Activity activity);

struct DeviceForecast {
  std::array<double, kActivities> seconds = {};  // By Activity; they sum to the step's.
  double activation_bytes = 0.0;                 // Peak of what forward keeps for backward.
  double key_value_bytes = 0.0;  // Peak of the key and value rows of others held for CA-tasks.
};

// One bar of a timeline, or one message.
struct TimelineEvent {
  std::string name;
  int32_t device = 0;  // Of a message: the one that sends.
  bool message = false;
  Activity activity = Activity::kLinear;
  double begin = 0.0;  // Seconds.
  double end = 0.0;
};

struct StepForecast {
  double step_seconds = 0.0;
  double tokens_per_second = 0.0;
  // FLOP of the model, three times forward, of allowed pairs only; and these over what the devices
  // could do, 0 without a peak rate.
  double model_flops = 0.0;
  double flop_utilisation = 0.0;
  std::array<double, kLinkClasses> link_bytes = {};  // Sent in the step, all devices, by LinkClass.
  std::vector<DeviceForecast> devices;               // [ranks]
  std::vector<TimelineEvent> timeline;               // In the order of their ends; if asked for.

  // Mean over the devices of an activity's part of the step, in [0, 1].
  double Share(Activity activity) const;
};

// The timeline as a Chrome trace (chrome://tracing, Perfetto): one process per device, its work in
// one row and its messages in another.
std::string ChromeTrace(const StepForecast& forecast);

}  // namespace rally

#endif  // RALLY_SCHEDULER_STEP_FORECAST_H_
