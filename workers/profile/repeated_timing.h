// Repeated timing: the seconds of something short, on a machine that has other work too.
//
// Any thread.
#ifndef RALLY_WORKERS_PROFILE_REPEATED_TIMING_H_
#define RALLY_WORKERS_PROFILE_REPEATED_TIMING_H_

#include <vector>

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace rally {

// How long one figure is measured.
struct TimingEffort {
  int samples = 15;               // At least 1; their median counts.
  double sample_seconds = 0.004;  // A sample repeats a shorter call until it has taken this long.
};

// Seconds of one call of `call`, which is called once before, to warm up. Its error ends it.
absl::StatusOr<double> TimeCall(const TimingEffort& effort, absl::FunctionRef<absl::Status()> call);

}  // namespace rally

#endif  // RALLY_WORKERS_PROFILE_REPEATED_TIMING_H_
