// rally-worker: see worker_options.cc for its usage.
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "common/cores.h"
#include "common/log.h"
#include "common/mutex_checks.h"
#include "common/shutdown.h"
#include "common/start_over.h"
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

// After each loop OpenMP's idle threads look for work: by default for milliseconds, on the cores
// that the attention kernel's threads want. Not at all is no better, as waking one takes as long as
// many a loop does (120 us on a virtual machine, a fifth of a small model's step). So they look for
// some 100 us. OpenMP reads how long when it is loaded. A choice that was made already is left
// alone.
void LetIdleThreadsSleep(int32_t threads, char** argv) {
  if ((threads > 0 ? threads : UsableCores()) == 1) return;
  constexpr char kSpins[] = "GOMP_SPINCOUNT";
  if (InEnvironment(kSpins) || InEnvironment("OMP_WAIT_POLICY")) return;
  if (setenv(kSpins, "10000", 0) == 0) StartOver(argv);
}

int Main(int argc, char** argv) {
  LimitMutexChecks();
  absl::StatusOr<WorkerOptions> options =
      ParseWorkerOptions(std::vector<std::string>(argv + 1, argv + argc));
  // Before signals are taken, which would be lost.
  if (options.ok() && !options->help) LetIdleThreadsSleep(options->threads, argv);
  const std::unique_ptr<ShutdownSignal> shutdown = ShutdownSignal::Install();
  PrepareProcessForTraining();
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
