// DataRoots: the directories that jobs may read and write in.
//
// A job's paths are opened by the coordinator and by every member with their own rights, so whoever
// may submit a job could otherwise read and overwrite what those may. Paths are resolved, symbolic
// links and ".." included, before they are compared, and the job goes on with the resolved path, so
// that a link that is moved later changes nothing. The roots' own contents are trusted while a job
// runs: a directory in them that is replaced by a link is not noticed.
//
// Reads the file system as the coordinator sees it; any thread.
#ifndef RALLY_SERVICES_COORDINATOR_DATA_ROOTS_H_
#define RALLY_SERVICES_COORDINATOR_DATA_ROOTS_H_

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "scheduler/job_spec.h"

namespace rally {

// `path`, absolute, without ".", ".." and symbolic links. What is not there yet is taken for
// directories to be made. InvalidArgument for a relative path, or the system's error.
absl::StatusOr<std::string> ResolvePath(absl::string_view path);

// The same, or `path` as it is where it cannot be resolved: one name for one directory.
std::string ResolvedOrAsItIs(const std::string& path);

class DataRoots {
 public:
  // No roots: paths are free. InvalidArgument names --data-root for one that is no directory.
  static absl::StatusOr<DataRoots> Create(const std::vector<std::string>& roots);

  // Resolves data.path and checkpoint.directory. InvalidArgument names the field and the roots.
  absl::Status Confine(JobSpec* spec) const;

 private:
  absl::Status ConfinePath(absl::string_view field, std::string* path) const;
  bool Holds(absl::string_view resolved) const;

  std::vector<std::string> roots_;  // Resolved.
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_DATA_ROOTS_H_
