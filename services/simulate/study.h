// Study: what a scenario comes to: one row per combination of what it sweeps over.
//
// Call from one thread.
#ifndef RALLY_SERVICES_SIMULATE_STUDY_H_
#define RALLY_SERVICES_SIMULATE_STUDY_H_

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "scheduler/training_setup.h"
#include "services/simulate/scenario.h"

namespace rally {

struct StudyRow {
  std::string setting;
  std::string model;
  std::string distribution;
  std::string planner;
  TrainingSetup setup;  // With the degrees that were best.
  absl::Status status;  // Why no degrees fit; then there is no forecast.
  SetupForecast forecast;
  double speedup = 0.0;  // Over the baseline of the same case; 0 without one.
};

struct StudyOptions {
  bool search = false;    // Every parallel degree is the best of all that fit.
  bool timeline = false;  // Of the last row.
  // Called before each row with the rows done and all; false stops.
  std::function<bool(size_t, size_t)> on_progress;
};

// Cancelled when stopped. A combination that cannot be run is a row with its reason.
absl::StatusOr<std::vector<StudyRow>> RunStudy(const Scenario& scenario,
                                               const StudyOptions& options);

}  // namespace rally

#endif  // RALLY_SERVICES_SIMULATE_STUDY_H_
