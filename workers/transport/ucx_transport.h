// UCX transport: ranks are processes; shared memory, TCP or RDMA, whatever UCX finds.
//
// One UCP worker per Transport, driven by one progress thread that sleeps on UCX's event
// descriptor. Messages are UCX tag messages in frames. See transport.h for the contract.
//
// UCX itself takes messages from whoever knows its address. So frames carry what members of the
// epoch alone can make (frame.h says what that is good for): others' messages never complete a
// receive, and are counted where they came in a message's place. What UCX keeps of messages that
// nobody waits for takes memory until the transport ends: this is no protection from floods. Nor
// from UCX's own faults: with TCP forced, UCX before 1.14 ends this process when one that has just
// begun to talk to it dies.
//
// UCX cannot report a peer's death over shared memory: the control plane learns of it from the
// peer's session and calls Abort; deadlines are the net below that. When TCP is forced, traffic
// with a peer whose process or transport has ended is Unavailable.
//
// Wait for a send means that its buffer may be used again, not that the peer has the message. On
// failure the transport shuts UCX down before any Wait returns, so buffers are not written to
// after; a peer that still reads a large message of an abandoned epoch may see what its sender's
// buffer holds next.
#ifndef RALLY_WORKERS_TRANSPORT_UCX_TRANSPORT_H_
#define RALLY_WORKERS_TRANSPORT_UCX_TRANSPORT_H_

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/statusor.h>

#include "workers/transport/transport.h"

namespace rally {

// Whatever UCX finds, but for direct reads of another process's memory (see UcxOptions).
inline constexpr char kUcxAnyTransport[] = "^cma";

struct UcxOptions {
  int32_t rank = 0;
  int32_t ranks = 1;
  // UCX transports to use, as UCX_TLS names them. The default is for one machine: shared memory,
  // and TCP to set up. (System V shared memory, since "posix" fails where a container's /dev/shm is
  // full, and is no faster.) "tcp,self" forces TCP; kUcxAnyTransport is for several machines.
  // Not "cma": UCX ends this process when a peer dies before its memory has been read.
  std::string transports = "sysv,self,tcp";
  // Network devices UCX may use, as UCX_NET_DEVICES names them; empty means every one it finds. The
  // default is for one machine.
  std::string network_devices = "lo";
  // Whether messages to other ranks carry a checksum of their payload. What comes with one is
  // always tested.
  bool checksums = true;
};

// Unavailable when UCX cannot be initialised with these options, with UCX's reason.
absl::StatusOr<std::unique_ptr<Transport>> MakeUcxTransport(const UcxOptions& options);

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_UCX_TRANSPORT_H_
