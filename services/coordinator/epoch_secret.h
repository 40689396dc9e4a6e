// EpochSecret: what the members of one epoch know and nobody else (Connect::secret).
#ifndef RALLY_SERVICES_COORDINATOR_EPOCH_SECRET_H_
#define RALLY_SERVICES_COORDINATOR_EPOCH_SECRET_H_

#include <string>

namespace rally {

// 32 bytes from the system's random number generator. Any thread. Ends the program when there are
// none to be had.
std::string MakeEpochSecret();

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_EPOCH_SECRET_H_
