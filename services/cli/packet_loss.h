// PacketLoss: loses some of the packets that a process sends and receives, chosen at random.
//
// Done with nft (nftables), in a table of its own. Loopback loses nothing. Threads: as
// ForeignNetwork.
#ifndef RALLY_SERVICES_CLI_PACKET_LOSS_H_
#define RALLY_SERVICES_CLI_PACKET_LOSS_H_

#include <sys/types.h>

#include <memory>
#include <string>
#include <utility>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "services/cli/foreign_network.h"
#include "services/cli/network_harm.h"

namespace rally {

class PacketLoss final : public NetworkHarm {
 public:
  // `percent` in (0, 100]. Changes nothing. FailedPrecondition when the process shares this one's
  // network, or when this is not permitted.
  static absl::StatusOr<std::unique_ptr<PacketLoss>> Prepare(pid_t pid, double percent);
  ~PacketLoss() override;

  absl::Status Harm() override;
  absl::Status Mend() override;

 private:
  PacketLoss(std::unique_ptr<ForeignNetwork> network, std::string table)
      : network_(std::move(network)), table_(std::move(table)) {}

  const std::unique_ptr<ForeignNetwork> network_;
  const std::string table_;
  bool loses_ = false;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_PACKET_LOSS_H_
