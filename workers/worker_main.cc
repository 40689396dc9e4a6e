// rally-worker: see worker_options.cc for its usage.
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/log.h"
#include "common/mutex_checks.h"
#include "common/shutdown.h"
#include "workers/agent.h"
#include "workers/machine.h"
#include "workers/model/trainer.h"
#include "workers/profile_role.h"
#include "workers/worker_options.h"

namespace rally {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;
constexpr int kInterrupted = 130;

int Fail(const absl::Status& status, int code) {
  std::cerr << "rally-worker: " << status.message();
  std::cerr << (code == kUsage ? "; see rally-worker --help\n" : "\n");
  return code;
}

int Main(int argc, char** argv) {
  LimitMutexChecks();
  const std::unique_ptr<ShutdownSignal> shutdown = ShutdownSignal::Install();
  PrepareProcessForTraining();
  absl::StatusOr<WorkerOptions> options =
      ParseWorkerOptions(std::vector<std::string>(argv + 1, argv + argc));
  if (!options.ok()) return Fail(options.status(), kUsage);
  if (options->help) {
    std::cout << kWorkerHelp;
    return 0;
  }
  if (options->id.empty()) options->id = DefaultMemberId();
  if (const absl::Status pinned = PinProcess(options->cpus); !pinned.ok()) {
    return Fail(pinned, kUsage);
  }
  if (const absl::Status logging = SetupLogging("rally-worker", options->log_level);
      !logging.ok()) {
    return Fail(logging, kUsage);
  }
  if (options->profile) {
    // Nothing is half done: the result is written at the end, and the copies die with this process.
    shutdown->OnRequest([] { _exit(kInterrupted); });
    const absl::Status status = RunProfile(options->profile_request);
    return status.ok() ? 0 : Fail(status, absl::IsInvalidArgument(status) ? kUsage : kFailure);
  }
  const absl::Status end = RunAgent(*options, shutdown.get());
  return end.ok() ? 0 : Fail(end, kFailure);
}

}  // namespace
}  // namespace rally

int main(int argc, char** argv) { return rally::Main(argc, argv); }
