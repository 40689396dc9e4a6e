// Store: what the coordinator must not forget: jobs, their events and log lines.
//
// SQLite in the data directory (coordinator.db), write-ahead log, synchronous=FULL: what Write
// returned OK for survives a crash. Schema version 1 (PRAGMA user_version, application_id "RALY"):
//   jobs   (job_id TEXT PRIMARY KEY, create_time INTEGER ns, phase INTEGER, job BLOB v1.Job)
//   events (job_id, sequence, event BLOB v1.JobEvent)            PRIMARY KEY (job_id, sequence)
//   logs   (job_id, sequence, rank, line BLOB v1.LogLine)        PRIMARY KEY (job_id, sequence)
//
// What is kept: a job's events as long as the job; of its log lines the newest kMostLogLines. Which
// jobs go is the core's to say.
//
// One coordinator per data directory: a lock file (LOCK) is held while the store is open, and freed
// by the system when the process ends, however it ends.
//
// Thread-safe. Errors: FailedPrecondition when another coordinator holds the directory or the
// schema is newer; DataLoss when the database is damaged; ResourceExhausted when the disk is full;
// Unavailable or Internal for the rest. All name the file.
#ifndef RALLY_SERVICES_COORDINATOR_STORE_H_
#define RALLY_SERVICES_COORDINATOR_STORE_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/types/span.h>

#include "rally/v1/jobs.pb.h"
#include "services/coordinator/event.h"

namespace rally {

class Store {
 public:
  virtual ~Store() = default;

  // Makes `directory` and the database when they are not there.
  static absl::StatusOr<std::unique_ptr<Store>> Open(const std::string& directory);

  // Log lines kept of each job, at least; a few more at times.
  static constexpr int64_t kMostLogLines = 100000;

  // Does all PersistJob, AppendJobEvent, AppendLogs and DeleteJob actions in one transaction,
  // skipping other kinds: all of them or none.
  virtual absl::Status Write(absl::Span<const Action> actions) = 0;

  // Every job with the sequence of its last event, oldest first.
  virtual absl::StatusOr<std::vector<StoredJob>> LoadJobs() = 0;

  // At most `limit` events of a job with a sequence above `after`, in order.
  virtual absl::StatusOr<std::vector<v1::JobEvent>> ReadEvents(const std::string& job_id,
                                                               int64_t after, int limit) = 0;

  // The same for log lines, of one rank or of all.
  virtual absl::StatusOr<std::vector<v1::LogLine>> ReadLogs(const std::string& job_id,
                                                            std::optional<int32_t> rank,
                                                            int64_t after, int limit) = 0;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_STORE_H_
