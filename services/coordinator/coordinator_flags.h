// CoordinatorFlags: the command line of rally-coordinator.
#ifndef RALLY_SERVICES_COORDINATOR_COORDINATOR_FLAGS_H_
#define RALLY_SERVICES_COORDINATOR_COORDINATOR_FLAGS_H_

#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/listen_address.h"
#include "services/coordinator/security_options.h"

namespace rally {

struct CoordinatorFlags {
  ListenAddress grpc = {"127.0.0.1", 7070};
  ListenAddress http = {"127.0.0.1", 7071};
  std::string data_directory = "rally-data";
  std::string address_file;  // Empty: none is written.
  std::string log_level = "info";
  CoreOptions core;
  SecurityOptions security;
  ServiceLimits limits;
  bool help = false;
};

// What --help prints.
extern const char kCoordinatorHelp[];

// `arguments` without the program's name; "--flag=value" and "--flag value" alike. InvalidArgument
// names the flag.
absl::StatusOr<CoordinatorFlags> ParseCoordinatorFlags(const std::vector<std::string>& arguments);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_COORDINATOR_FLAGS_H_
