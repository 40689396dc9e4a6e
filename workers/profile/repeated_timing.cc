#include "workers/profile/repeated_timing.h"

#include <chrono>
#include <utility>
#include <vector>

#include "common/median.h"
#include "common/status_macros.h"

namespace rally {
namespace {

absl::StatusOr<double> TimeSample(double least_seconds, absl::FunctionRef<absl::Status()> call) {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  std::chrono::duration<double> took{0};
  int calls = 0;
  do {
    RALLY_RETURN_IF_ERROR(call());
    ++calls;
    took = Clock::now() - start;
  } while (took.count() < least_seconds);
  return took.count() / calls;
}

}  // namespace

absl::StatusOr<double> TimeCall(const TimingEffort& effort,
                                absl::FunctionRef<absl::Status()> call) {
  RALLY_RETURN_IF_ERROR(call());
  std::vector<double> samples;
  for (int i = 0; i < effort.samples; ++i) {
    RALLY_ASSIGN_OR_RETURN(const double seconds, TimeSample(effort.sample_seconds, call));
    samples.push_back(seconds);
  }
  return Median(std::move(samples));
}

}  // namespace rally
