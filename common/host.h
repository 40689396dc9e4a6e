// The names of the machine this process runs on.
//
// Free functions, any thread.
#ifndef RALLY_COMMON_HOST_H_
#define RALLY_COMMON_HOST_H_

#include <string>

namespace rally {

// As the kernel has it; "unknown" when it does not say.
std::string HostName();

// Equal for processes that share memory and process ids, so for those of one machine or container.
std::string MachineName();

}  // namespace rally

#endif  // RALLY_COMMON_HOST_H_
