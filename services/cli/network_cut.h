// NetworkCut: takes a process's network away and gives it back as it was.
//
// For a process in a network namespace of its own, as containers have: what else is in there loses
// the network too. Done with nsenter and ip (util-linux, iproute2), which want the rights for it.
// Setting a link down loses addresses and routes, so they are saved before. One thread, which lives
// as long as this does.
#ifndef RALLY_SERVICES_CLI_NETWORK_CUT_H_
#define RALLY_SERVICES_CLI_NETWORK_CUT_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "services/cli/run_directory.h"

namespace rally {

class NetworkCut {
 public:
  // Looks and saves, changes nothing. FailedPrecondition when the process shares this one's
  // network, has no link that is up, or when this is not permitted.
  static absl::StatusOr<std::unique_ptr<NetworkCut>> Prepare(pid_t pid);
  // Mends what is cut.
  ~NetworkCut();
  NetworkCut(const NetworkCut&) = delete;
  NetworkCut& operator=(const NetworkCut&) = delete;

  // Sets every link but loopback down.
  absl::Status Cut();
  // Sets the links up again, with their addresses and routes. Idempotent.
  absl::Status Mend();

 private:
  NetworkCut(pid_t pid, int namespace_fd, std::unique_ptr<RunDirectory> directory)
      : pid_(pid), namespace_fd_(namespace_fd), directory_(std::move(directory)) {}

  // Runs `ip ARGUMENTS` in the namespace, with standard input from `input` and output to `output`,
  // names in the directory; an empty input is none.
  absl::Status Ip(const std::vector<std::string>& arguments, const std::string& input,
                  const std::string& output) const;
  absl::Status Save();

  const pid_t pid_;
  const int namespace_fd_;  // Outlives the process.
  const std::unique_ptr<RunDirectory> directory_;
  std::vector<std::string> links_;  // Up before.
  bool routes_6_ = false;           // IPv6 has some.
  bool cut_ = false;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_NETWORK_CUT_H_
