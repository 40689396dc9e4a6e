// RunDirectory: where a local cluster keeps its logs and its store.
//
// Owned by the command that runs the cluster; outlives the cluster.
#ifndef RALLY_SERVICES_CLI_RUN_DIRECTORY_H_
#define RALLY_SERVICES_CLI_RUN_DIRECTORY_H_

#include <memory>
#include <string>

#include <absl/status/statusor.h>

namespace rally {

class RunDirectory {
 public:
  // `path`, made if need be and kept; or, when empty, a fresh temporary directory that is removed
  // with this object.
  static absl::StatusOr<std::unique_ptr<RunDirectory>> Make(const std::string& path);
  ~RunDirectory();
  RunDirectory(const RunDirectory&) = delete;
  RunDirectory& operator=(const RunDirectory&) = delete;

  const std::string& path() const { return path_; }

 private:
  RunDirectory(std::string path, bool temporary);

  const std::string path_;
  const bool temporary_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_RUN_DIRECTORY_H_
