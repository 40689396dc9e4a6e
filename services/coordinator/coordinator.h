// Coordinator: the whole service: store, core, planner thread, gRPC and HTTP front ends.
//
// One loop thread owns the core: it takes events, lets the core decide, writes what must survive to
// the store in one transaction, and only then shows and sends the rest. When the store fails the
// coordinator stops taking events and reports the error: what members and users were told is then
// still what a restart will find.
#ifndef RALLY_SERVICES_COORDINATOR_COORDINATOR_H_
#define RALLY_SERVICES_COORDINATOR_COORDINATOR_H_

#include <functional>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "services/coordinator/coordinator_core.h"
#include "services/coordinator/listen_address.h"
#include "services/coordinator/security_options.h"

namespace rally {

struct CoordinatorOptions {
  ListenAddress grpc = {"127.0.0.1", 7070};
  ListenAddress http = {"127.0.0.1", 7071};
  std::string data_directory;
  CoreOptions core;
  SecurityOptions security;
  ServiceLimits limits;
  // Called once, on the loop's thread, when the store has failed: the process should end.
  std::function<void(const absl::Status&)> on_fatal;
};

class Coordinator {
 public:
  // Ends sessions, streams and calls, then the threads; takes a few seconds at most.
  virtual ~Coordinator() = default;

  // Serves when it returns. The store's errors (store.h), InvalidArgument for security that does
  // not suffice or files of it that cannot be used, or Unavailable when an address cannot be
  // listened on.
  static absl::StatusOr<std::unique_ptr<Coordinator>> Start(const CoordinatorOptions& options);

  // With the ports that were taken.
  virtual const ListenAddress& grpc_address() const = 0;
  virtual const ListenAddress& http_address() const = 0;
};

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_COORDINATOR_H_
