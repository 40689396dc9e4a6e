// Delayed transport: a decorator that makes every message between different ranks arrive late.
//
// For benches and tests that need a slow network. A message becomes visible to its receiver `delay`
// after it was sent; neither side's thread is held up meanwhile, and the order of completion per
// peer is kept. Everything else is the decorated transport's.
#ifndef RALLY_WORKERS_TRANSPORT_DELAYED_TRANSPORT_H_
#define RALLY_WORKERS_TRANSPORT_DELAYED_TRANSPORT_H_

#include <memory>

#include <absl/time/time.h>

#include "workers/transport/transport.h"

namespace rally {

// Delays what this rank sends: decorate every rank to slow all traffic.
std::unique_ptr<Transport> MakeDelayedTransport(std::unique_ptr<Transport> base,
                                                absl::Duration delay);

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_DELAYED_TRANSPORT_H_
