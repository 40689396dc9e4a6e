// LostReply: a reply of an attention server that never arrives, as when it dies while it sends.
#ifndef RALLY_TESTS_MODEL_LOST_REPLY_H_
#define RALLY_TESTS_MODEL_LOST_REPLY_H_

#include <cstdint>
#include <memory>

#include "scheduler/phase.h"
#include "workers/transport/transport.h"

namespace rally::testing {

struct LostReply {
  int32_t server = 0;
  int32_t home = 0;
  Phase phase;  // In every round.
};

// The server's transport, without that reply: its send stays pending.
std::unique_ptr<Transport> MakeTransportThatLoses(const LostReply& lost,
                                                  std::unique_ptr<Transport> base);

}  // namespace rally::testing

#endif  // RALLY_TESTS_MODEL_LOST_REPLY_H_
