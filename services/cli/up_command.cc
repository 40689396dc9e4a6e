#include <unistd.h>

#include <memory>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <nlohmann/json.hpp>

#include "common/status_macros.h"
#include "services/cli/cluster_commands.h"
#include "services/cli/local_cluster.h"
#include "services/cli/run_directory.h"
#include "services/coordinator/listen_address.h"

namespace rally {
namespace {

constexpr absl::Duration kStopBound = absl::Seconds(20);

void Announce(const CommandContext& context, const GlobalOptions& globals, const UpOptions& options,
              const LocalCluster& cluster, const RunDirectory& directory) {
  if (globals.json) {
    const nlohmann::ordered_json json = {{"coordinator", cluster.address()},
                                         {"http", cluster.http_address()},
                                         {"pid", getpid()},
                                         {"workers", options.workers},
                                         {"attention_servers", options.attention_servers},
                                         {"run_directory", directory.path()}};
    context.console->out() << json.dump() << std::endl;
    return;
  }
  context.console->out() << "coordinator  " << cluster.address() << "\n"
                         << "metrics      http://" << cluster.http_address() << "/metrics\n"
                         << "members      " << options.workers << " worker(s), "
                         << options.attention_servers << " attention server(s)\n"
                         << "logs         " << directory.path() << "\n"
                         << "Submit a job with:  rally submit --coordinator=" << cluster.address()
                         << " JOB.yaml\n"
                         << "Ctrl-C stops the cluster." << std::endl;
}

}  // namespace

absl::Status UpCommand(const CommandContext& context, const GlobalOptions& globals,
                       const UpOptions& options) {
  RALLY_RETURN_IF_ERROR(Annotate(ParseListenAddress(options.listen).status(), "--listen"));
  RALLY_RETURN_IF_ERROR(Annotate(ParseListenAddress(options.http).status(), "--http"));
  Interruption interruption;
  const SignalGuard guard(context.shutdown, &interruption);
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<RunDirectory> directory,
                         RunDirectory::Make(options.run_directory));
  LocalClusterOptions cluster_options;
  cluster_options.program_directory = context.program_directory;
  cluster_options.run_directory = directory->path();
  cluster_options.listen = options.listen;
  cluster_options.http = options.http;
  cluster_options.workers = options.workers;
  cluster_options.attention_servers = options.attention_servers;
  cluster_options.threads = options.threads;
  absl::Mutex console_mutex;
  // A member's loss is the coordinator's to handle; without a coordinator there is no cluster.
  const auto on_death = [&](const absl::Status& why, bool coordinator) {
    absl::MutexLock lock(&console_mutex);
    if (coordinator) {
      interruption.Interrupt(why);
    } else {
      context.console->err() << "rally up: " << why.message() << std::endl;
    }
  };
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<LocalCluster> cluster,
                         LocalCluster::Start(cluster_options, &interruption, on_death));
  {
    absl::MutexLock lock(&console_mutex);
    Announce(context, globals, options, *cluster, *directory);
  }
  interruption.WaitUntil(absl::InfiniteFuture());
  cluster->Stop(kStopBound);
  return interruption.reason();
}

}  // namespace rally
