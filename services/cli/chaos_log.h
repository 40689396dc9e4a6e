// ChaosLog: a job's events and the faults among them, in order of time.
//
// A fold; plain data, no clock. Not thread-safe.
#ifndef RALLY_SERVICES_CLI_CHAOS_LOG_H_
#define RALLY_SERVICES_CLI_CHAOS_LOG_H_

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "rally/v1/jobs.pb.h"

namespace rally {

// One fault, and what the job showed of it.
struct FaultRecord {
  std::string victim;             // For people.
  int64_t process_id = 0;         // 0: it struck no process.
  int64_t step = 0;               // Committed when it struck.
  absl::Time begin;               // When it struck,
  std::optional<absl::Time> end;  // and when it was undone, or done.
  pid_t respawned = 0;            // The process in the victim's place; 0: none.
  // First thing that the job's status showed, and when: "pool change", "restart", a phase, a
  // condition's type and reason, or "coordinator unreachable".
  std::string sign;
  std::optional<absl::Time> detected;
  // First step beyond `step` that was committed after that, or after `begin` if nothing was shown.
  std::optional<absl::Time> recovered;
};

struct CommittedStep {
  int64_t step = 0;
  absl::Time at;
  absl::Duration duration;
  double loss = 0;
};

class ChaosLog {
 public:
  // `at`: when the event happened, by the clock that the faults' times come from.
  void Add(const v1::JobEvent& event, absl::Time at);
  void AddUnreachable(absl::Time at);
  // One fault at a time: Begin, End, Begin, ...
  void Begin(const std::string& victim, int64_t process_id, absl::Time at);
  void End(pid_t respawned, absl::Time at);

  // The last fault is over, and a step beyond those before it was committed since it was.
  bool settled() const;
  // Of the last event; 0 before the first.
  int64_t sequence() const { return sequence_; }
  // As of the last event that had one, `step` of the last step.
  const v1::JobStatus& status() const { return status_; }
  // As of the first fault.
  const v1::JobStatus& status_before() const { return status_before_; }
  const std::vector<FaultRecord>& faults() const { return faults_; }
  const std::vector<CommittedStep>& steps() const { return steps_; }

 private:
  void AddStatus(const v1::JobStatus& status, absl::Time at);
  void AddStep(const v1::StepReport& step, absl::Time at);
  void Sign(const std::string& what, absl::Time at);

  int64_t sequence_ = 0;
  v1::JobStatus status_;
  v1::JobStatus status_before_;
  std::vector<FaultRecord> faults_;
  std::vector<CommittedStep> steps_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_CHAOS_LOG_H_
