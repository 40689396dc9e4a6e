// PacedSummary: what the steps of a paced job say beside the simulator, in time of the emulated
// devices.
//
// A fold over step reports. Plain data; not thread-safe.
#ifndef RALLY_SERVICES_CLI_PACED_SUMMARY_H_
#define RALLY_SERVICES_CLI_PACED_SUMMARY_H_

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "rally/v1/jobs.pb.h"

namespace rally {

class PacedSummary {
 public:
  // In order; of a job that trains nothing is kept.
  void Add(const v1::StepReport& step);
  bool empty() const { return steps_.empty(); }

  // {"steps", "step_seconds", "predicted_step_seconds", "ratio", "tokens_per_second", "shares",
  // "predicted_shares"}: medians over all steps but the first, which warms up; shares are means, by
  // activity. Not of an empty one.
  nlohmann::ordered_json ToJson() const;
  // The same for people, one line each.
  std::string ToText() const;

 private:
  std::vector<v1::StepReport> Counted() const;

  std::vector<v1::StepReport> steps_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_PACED_SUMMARY_H_
