// LocalCluster: a coordinator and its members as child processes of this one, on loopback.
//
// Logs go to RUN_DIRECTORY/NAME.log, the coordinator's store to RUN_DIRECTORY/coordinator. All
// children are gone when it is destroyed, and when this process dies
// (services/cli/server_process.h). Start, Stop and destroy it on one thread that lives throughout,
// the main thread.
#ifndef RALLY_SERVICES_CLI_LOCAL_CLUSTER_H_
#define RALLY_SERVICES_CLI_LOCAL_CLUSTER_H_

#include <functional>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/time/time.h>

#include "services/cli/interruption.h"

namespace rally {

struct LocalClusterOptions {
  std::string program_directory;       // Where rally-coordinator and rally-worker are.
  std::string run_directory;           // Exists.
  std::string listen = "127.0.0.1:0";  // Of the coordinator's RPC; port 0: any free one.
  std::string http = "127.0.0.1:0";    // Of its /metrics and /healthz.
  int workers = 1;
  int attention_servers = 0;
  int threads = 0;  // Of each member; 0: the cores this process may use, shared out evenly.
  absl::Duration start_timeout = absl::Seconds(30);  // Until the coordinator listens.
};

class LocalCluster {
 public:
  // Called once per member or coordinator that ends on its own, on a thread of the cluster's. The
  // status names the process and holds the end of its log; `coordinator` says whether it was that.
  using DeathCallback = std::function<void(const absl::Status& why, bool coordinator)>;

  // Waits until the coordinator listens. Children that were started are gone when it fails.
  static absl::StatusOr<std::unique_ptr<LocalCluster>> Start(const LocalClusterOptions& options,
                                                             Interruption* interruption,
                                                             DeathCallback on_death);
  virtual ~LocalCluster() = default;

  // "HOST:PORT" of RPC and of HTTP.
  virtual const std::string& address() const = 0;
  virtual const std::string& http_address() const = 0;

  // SIGTERM to members, then to the coordinator, each with half of `bound` to leave; what remains
  // is killed. No death is reported any more. Idempotent; the destructor does it with 10 s.
  virtual void Stop(absl::Duration bound) = 0;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_LOCAL_CLUSTER_H_
