// Machine: what a member tells others of the machine it runs on, and how it binds itself to it.
//
// Free functions, any thread, unless said otherwise.
#ifndef RALLY_WORKERS_MACHINE_H_
#define RALLY_WORKERS_MACHINE_H_

#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace rally {

// "HOST-PID".
std::string DefaultMemberId();

// The numeric address of this machine from which `target` ("host:port") is reached: 127.0.0.1 for
// a target on loopback. Sends nothing. Unavailable when the name is unknown or there is no route.
absl::StatusOr<std::string> AddressTowards(const std::string& target);

// Binds every thread of this process, and those they make later, to these cores; empty changes
// nothing. Call at the start of main. InvalidArgument when a core may not be used.
absl::Status PinProcess(const std::vector<int>& cpus);

}  // namespace rally

#endif  // RALLY_WORKERS_MACHINE_H_
