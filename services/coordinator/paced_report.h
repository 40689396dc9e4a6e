// PacedReport: what the emulated devices of a paced job did in one step, beside its forecast.
//
// Pure function; any thread.
#ifndef RALLY_SERVICES_COORDINATOR_PACED_REPORT_H_
#define RALLY_SERVICES_COORDINATOR_PACED_REPORT_H_

#include <absl/time/time.h>

#include "rally/v1/jobs.pb.h"
#include "scheduler/job_spec.h"
#include "services/coordinator/job_state.h"

namespace rally {

// Every member of the round is done; `duration` is that of its step. What remains of it after a
// device's own program counts as waiting for the others, as it does in the simulator.
v1::PacedReport ReportPaced(const PacedSpec& paced, const RoundProgress& round,
                            absl::Duration duration);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_PACED_REPORT_H_
