// Following a job to its end, showing how it goes.
#ifndef RALLY_SERVICES_CLI_FOLLOW_JOB_H_
#define RALLY_SERVICES_CLI_FOLLOW_JOB_H_

#include <functional>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "services/cli/console.h"
#include "services/cli/job_client.h"
#include "services/cli/job_summary.h"

namespace rally {

// Shows a job's progress as its events come: a live line on a terminal; else a line at every change
// of phase, every validation and at most every 5 s of steps. One thread.
class ProgressPrinter {
 public:
  explicit ProgressPrinter(Console* console) : console_(*console) {}

  // After `summary` has taken the event in.
  void Show(const JobSummary& summary, const v1::JobEvent& event);
  void Finish() { console_.KeepLive(); }

 private:
  Console& console_;
  v1::JobPhase phase_ = v1::JOB_PHASE_UNSPECIFIED;
  absl::Time next_line_ = absl::InfinitePast();
};

// Watches a job until it has ended, showing its progress on console->err() and folding the events
// that `summary` has not seen into it; `on_event` may be null. OK when the job succeeded; Aborted,
// with the reason, when it failed or was cancelled; the client's errors.
absl::Status FollowJob(JobClient* client, Console* console, JobSummary* summary,
                       const std::function<void(const v1::JobEvent&)>& on_event);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_FOLLOW_JOB_H_
