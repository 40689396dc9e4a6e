// Conditions of a job, in the manner of Kubernetes: one per type, with the time its status changed.
//
// Pure functions, any thread.
#ifndef RALLY_SERVICES_COORDINATOR_CONDITIONS_H_
#define RALLY_SERVICES_COORDINATOR_CONDITIONS_H_

#include <string>

#include <absl/status/status.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

#include "rally/v1/jobs.pb.h"

namespace rally {

// Sets the condition of `type`; true when anything but its time changed. The message may be any
// bytes: it is cut to 8 KiB and made UTF-8.
bool SetCondition(v1::JobStatus* status, absl::string_view type, bool value,
                  absl::string_view reason, absl::string_view message, absl::Time now);

// The condition of `type`, or null.
const v1::Condition* FindCondition(const v1::JobStatus& status, absl::string_view type);

// Whether the job has ended.
bool IsFinal(v1::JobPhase phase);

// "InvalidArgument" for kInvalidArgument, and so on: a reason for programs.
std::string ReasonOf(absl::StatusCode code);

// Whether a member's failure is the job's own fault (the same start would fail again) rather than
// the machine's.
bool IsUserError(absl::StatusCode code);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_CONDITIONS_H_
