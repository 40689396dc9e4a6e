// ForeignNetwork: the network of a process that has a network namespace of its own, as containers
// have. What is done to it reaches whatever else is in there.
//
// Commands run in it by nsenter (util-linux), which wants the rights for it. One thread, which
// lives as long as this does.
#ifndef RALLY_SERVICES_CLI_FOREIGN_NETWORK_H_
#define RALLY_SERVICES_CLI_FOREIGN_NETWORK_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "services/cli/run_directory.h"

namespace rally {

class ForeignNetwork {
 public:
  // FailedPrecondition, under the name of `flag`, when the process shares this one's network.
  static absl::StatusOr<std::unique_ptr<ForeignNetwork>> Open(absl::string_view flag, pid_t pid);
  ~ForeignNetwork();
  ForeignNetwork(const ForeignNetwork&) = delete;
  ForeignNetwork& operator=(const ForeignNetwork&) = delete;

  // Runs a program in it that soon ends, with standard input from the file `input` and output to
  // `output`; an empty input is none.
  absl::Status Run(const std::vector<std::string>& command, const std::string& input,
                   const std::string& output) const;
  // Files go by names of their own and last as long as this does.
  absl::StatusOr<std::string> Read(const std::string& file) const;
  absl::Status Write(const std::string& file, absl::string_view text) const;

  pid_t pid() const { return pid_; }

 private:
  ForeignNetwork(pid_t pid, int namespace_fd, std::unique_ptr<RunDirectory> directory)
      : pid_(pid), namespace_fd_(namespace_fd), directory_(std::move(directory)) {}

  std::string PathOf(const std::string& file) const;

  const pid_t pid_;
  const int namespace_fd_;  // Outlives the process.
  const std::unique_ptr<RunDirectory> directory_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_FOREIGN_NETWORK_H_
