// ChaosReport: what faults cost a job, in figures.
//
// Pure functions of the log, any thread.
#ifndef RALLY_SERVICES_CLI_CHAOS_REPORT_H_
#define RALLY_SERVICES_CLI_CHAOS_REPORT_H_

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <absl/time/time.h>
#include <nlohmann/json.hpp>

#include "services/cli/chaos_log.h"

namespace rally {

// Losses by step of a job that nothing happened to.
struct CalmJob {
  std::string job_id;
  std::map<int64_t, double> losses;
};

// Seconds from the moment a fault struck, over all faults of which there is a figure.
struct Delay {
  int64_t count = 0;
  double median = 0;
  double worst = 0;
};

struct ChaosReport {
  std::string job_id;
  std::string what;   // The fault, e.g. "kill attention-server".
  std::string state;  // The job's phase in a word.
  std::vector<FaultRecord> faults;
  Delay detected;
  Delay recovered;
  // From the last step before the first fault on. A step that is made twice counts once in `steps`;
  // `steps_lost` had been committed when the job went back to a checkpoint.
  int64_t steps = 0;
  int64_t steps_run_again = 0;
  int64_t steps_lost = 0;
  int32_t pool_changes = 0;
  int32_t restarts = 0;
  // Median over the steps that no fault reached into; nothing without one.
  std::optional<double> step_seconds;
  // What `steps` take undisturbed over the time they took. 1: the faults cost nothing.
  std::optional<double> effective_ratio;
  // Greatest |loss - calm loss| / calm loss over the steps that both jobs have made.
  std::string against;  // The calm job; empty: none was named.
  int64_t steps_compared = 0;
  std::optional<double> loss_difference;
};

// `calm` may be null. `now` ends the time of a job that has not recovered.
ChaosReport MakeChaosReport(const ChaosLog& log, const CalmJob* calm, absl::Time now);

// See docs/recovery.md; unknown numbers are null.
nlohmann::ordered_json ToJson(const ChaosReport& report);
// The same for people: a table of the faults, and what they cost in all.
std::string ToText(const ChaosReport& report);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_CHAOS_REPORT_H_
