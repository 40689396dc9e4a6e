// UCX transport: ranks are processes; shared memory, TCP or RDMA, whatever UCX finds.
//
// One UCP worker per Transport, driven by one progress thread that sleeps on UCX's event
// descriptor. Messages are UCX tag messages. See transport.h for the contract.
//
// UCX cannot report a peer's death over shared memory: the control plane learns of it from the
// peer's session and calls Abort; deadlines are the net below that.
#ifndef RALLY_WORKERS_TRANSPORT_UCX_TRANSPORT_H_
#define RALLY_WORKERS_TRANSPORT_UCX_TRANSPORT_H_

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include "workers/transport/transport.h"

namespace rally {

struct UcxOptions {
  int32_t rank = 0;
  int32_t ranks = 1;
  // UCX transports to use, as UCX_TLS names them; empty lets UCX choose. "sm,self,tcp" on one
  // machine, "tcp,self" to force TCP.
  std::string transports;
  // Network devices UCX may use, as UCX_NET_DEVICES names them; empty means all. UCX would take every
  // interface it finds: give "lo" when all ranks share one machine.
  std::string network_devices;
};

// Unavailable when UCX cannot be initialised with these options, with UCX's reason.
absl::StatusOr<std::unique_ptr<Transport>> MakeUcxTransport(const UcxOptions& options);

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_UCX_TRANSPORT_H_
