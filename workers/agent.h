// Agent: a member process from its start to its end: the session with the coordinator, the jobs it
// brings, the log lines it takes back, and an orderly leave.
#ifndef RALLY_WORKERS_AGENT_H_
#define RALLY_WORKERS_AGENT_H_

#include <absl/status/status.h>

#include "common/shutdown.h"
#include "workers/worker_options.h"

namespace rally {

// Serves until `shutdown` is requested; then takes leave: idle members stop at once, others work
// until the coordinator releases them, at most options.grace. Call once, on the main thread, after
// SetupLogging. Errors: the coordinator refuses this member; the kernel cannot be made; the grace
// period is over. Ends the process with code 1 when the job's thread cannot be stopped.
absl::Status RunAgent(const WorkerOptions& options, ShutdownSignal* shutdown);

}  // namespace rally

#endif  // RALLY_WORKERS_AGENT_H_
