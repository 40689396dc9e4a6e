// NetworkHarm: something that is done to a network, and undone.
//
// One thread.
#ifndef RALLY_SERVICES_CLI_NETWORK_HARM_H_
#define RALLY_SERVICES_CLI_NETWORK_HARM_H_

#include <absl/status/status.h>

namespace rally {

class NetworkHarm {
 public:
  virtual ~NetworkHarm() = default;  // Mends what is harmed.

  virtual absl::Status Harm() = 0;
  // The network is as it was. Idempotent.
  virtual absl::Status Mend() = 0;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_NETWORK_HARM_H_
