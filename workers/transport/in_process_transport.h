// In-process transport: ranks are objects of one process; a message is one memory copy.
//
// For jobs of a single process, and for tests. See transport.h for the contract.
#ifndef RALLY_WORKERS_TRANSPORT_IN_PROCESS_TRANSPORT_H_
#define RALLY_WORKERS_TRANSPORT_IN_PROCESS_TRANSPORT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "workers/transport/transport.h"

namespace rally {

// `ranks` transports that reach each other; element r is rank r. Destroying one makes the others
// see a lost peer (Unavailable, naming the rank) on traffic with it. Connect accepts any addresses
// and secrets: nobody else reaches this memory.
std::vector<std::unique_ptr<Transport>> MakeInProcessTransports(int32_t ranks);

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_IN_PROCESS_TRANSPORT_H_
