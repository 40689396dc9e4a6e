// JobSummary: what a job's events say about it, in a dozen numbers.
//
// A fold over the events in order. Plain data; not thread-safe.
#ifndef RALLY_SERVICES_CLI_JOB_SUMMARY_H_
#define RALLY_SERVICES_CLI_JOB_SUMMARY_H_

#include <cstdint>
#include <optional>
#include <string>

#include <absl/time/time.h>
#include <nlohmann/json.hpp>

#include "rally/v1/jobs.pb.h"
#include "services/cli/paced_summary.h"

namespace rally {

// "queued", "starting", "running", "succeeded", "failed" or "cancelled".
std::string PhaseWord(v1::JobPhase phase);

class JobSummary {
 public:
  explicit JobSummary(std::string job_id) : job_id_(std::move(job_id)) {}

  void Add(const v1::JobEvent& event);

  const std::string& job_id() const { return job_id_; }
  // Number of the last event taken in; 0 before the first.
  int64_t sequence() const { return sequence_; }
  const v1::JobStatus& status() const { return status_; }
  const std::optional<v1::StepReport>& last_step() const { return last_step_; }
  const std::optional<v1::ValidationReport>& last_validation() const { return last_validation_; }

  // Of the first step seen; nothing before it.
  std::optional<double> first_loss() const { return first_loss_; }
  // The last validation's, or the last step's when there was none.
  std::optional<double> last_loss() const;
  // Over all steps but the first, which warms up; nothing before the second.
  std::optional<double> tokens_per_second() const;
  // Means over all steps; nothing before the first.
  std::optional<double> imbalance_without_plan() const;
  std::optional<double> imbalance_with_plan() const;
  const std::string& checkpoint() const { return checkpoint_; }
  // From now on, at the pace of the last steps; nothing before the second step.
  std::optional<absl::Duration> time_left() const;
  // Why the job is in its phase: the message of the condition that changed last; may be empty.
  std::string reason() const;

  // {"job_id", "state", "steps", "first_loss", "last_loss", "bigram_entropy", "tokens_per_second",
  // "imbalance_without_plan", "imbalance_with_plan", "checkpoint", "weights_checksum"}; unknown
  // numbers are null. Losses and entropy in nats. Of a paced job also "paced", see PacedSummary.
  nlohmann::ordered_json ToJson(std::optional<double> bigram_entropy) const;
  // The same for people, one line each.
  std::string ToText(std::optional<double> bigram_entropy) const;

 private:
  void AddStep(const v1::StepReport& step);

  std::string job_id_;
  v1::JobStatus status_;
  std::optional<v1::StepReport> last_step_;
  std::optional<v1::ValidationReport> last_validation_;
  std::optional<double> first_loss_;
  std::string checkpoint_;
  int64_t sequence_ = 0;
  int64_t steps_ = 0;
  int64_t timed_tokens_ = 0;
  absl::Duration timed_;
  absl::Duration pace_;  // Of one step: a moving average.
  PacedSummary paced_;
  double sum_without_plan_ = 0;
  double sum_with_plan_ = 0;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_JOB_SUMMARY_H_
