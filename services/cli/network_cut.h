// NetworkCut: takes a process's network away and gives it back as it was.
//
// Done with ip (iproute2). Setting a link down loses addresses and routes, so they are saved
// before. Threads: as ForeignNetwork.
#ifndef RALLY_SERVICES_CLI_NETWORK_CUT_H_
#define RALLY_SERVICES_CLI_NETWORK_CUT_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "services/cli/foreign_network.h"
#include "services/cli/network_harm.h"

namespace rally {

class NetworkCut final : public NetworkHarm {
 public:
  // Looks and saves, changes nothing. FailedPrecondition when the process shares this one's
  // network, has no link that is up, or when this is not permitted.
  static absl::StatusOr<std::unique_ptr<NetworkCut>> Prepare(pid_t pid);
  ~NetworkCut() override;

  // Sets every link but loopback down.
  absl::Status Harm() override;
  // Sets the links up again, with their addresses and routes.
  absl::Status Mend() override;

 private:
  explicit NetworkCut(std::unique_ptr<ForeignNetwork> network) : network_(std::move(network)) {}

  absl::Status Ip(std::vector<std::string> arguments, const std::string& input,
                  const std::string& output) const;
  absl::Status Save();

  const std::unique_ptr<ForeignNetwork> network_;
  std::vector<std::string> links_;  // Up before.
  bool routes_6_ = false;           // IPv6 has some.
  bool cut_ = false;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_NETWORK_CUT_H_
