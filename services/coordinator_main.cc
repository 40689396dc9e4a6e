// rally-coordinator: see coordinator_flags.cc for its usage.
#include <unistd.h>

#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "common/descriptor_limit.h"
#include "common/log.h"
#include "common/mutex_checks.h"
#include "common/shutdown.h"
#include "services/coordinator/coordinator.h"
#include "services/coordinator/coordinator_flags.h"

namespace rally {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;

int Fail(const absl::Status& status, int code) {
  std::cerr << "rally-coordinator: " << status.message()
            << (code == kUsage ? "; see rally-coordinator --help\n" : "\n");
  return code;
}

absl::Status WriteAddresses(const std::string& path, const Coordinator& coordinator) {
  const nlohmann::json addresses = {{"grpc", coordinator.grpc_address().ToString()},
                                    {"http", coordinator.http_address().ToString()},
                                    {"pid", getpid()}};
  return WriteFileAtomically(path, addresses.dump() + "\n");
}

int Serve(const CoordinatorFlags& flags, ShutdownSignal* shutdown) {
  CoordinatorOptions options;
  options.grpc = flags.grpc;
  options.http = flags.http;
  options.data_directory = flags.data_directory;
  options.core = flags.core;
  options.security = flags.security;
  options.limits = flags.limits;
  absl::Status fatal;  // Written before Request, read after it was seen.
  options.on_fatal = [&fatal, shutdown](const absl::Status& status) {
    fatal = status;
    shutdown->Request();
  };
  absl::StatusOr<std::unique_ptr<Coordinator>> coordinator = Coordinator::Start(options);
  if (!coordinator.ok()) {
    const absl::Status& status = coordinator.status();
    return Fail(status, absl::IsInvalidArgument(status) ? kUsage : kFailure);
  }
  if (!flags.address_file.empty()) {
    const absl::Status written = WriteAddresses(flags.address_file, **coordinator);
    if (!written.ok()) return Fail(written, kFailure);
  }
  RALLY_LOG_INFO("serving gRPC on {}, HTTP on {}, data in {}",
                 (*coordinator)->grpc_address().ToString(),
                 (*coordinator)->http_address().ToString(), flags.data_directory);
  while (!shutdown->WaitUntil(absl::Now() + absl::Hours(1))) {
  }
  RALLY_LOG_INFO("stopping");
  coordinator->reset();
  if (!flags.address_file.empty()) unlink(flags.address_file.c_str());
  return fatal.ok() ? 0 : Fail(fatal, kFailure);
}

int Main(int argc, char** argv) {
  LimitMutexChecks();
  const std::unique_ptr<ShutdownSignal> shutdown = ShutdownSignal::Install();
  const absl::StatusOr<CoordinatorFlags> flags =
      ParseCoordinatorFlags(std::vector<std::string>(argv + 1, argv + argc));
  if (!flags.ok()) return Fail(flags.status(), kUsage);
  if (flags->help) {
    std::cout << kCoordinatorHelp;
    return 0;
  }
  const absl::Status logging = SetupLogging("rally-coordinator", flags->log_level);
  if (!logging.ok()) return Fail(logging, kUsage);
  // A member's session is a connection.
  if (const absl::Status raised = RaiseDescriptorLimit(); !raised.ok()) {
    RALLY_LOG_WARN("{}", std::string(raised.message()));
  }
  return Serve(*flags, shutdown.get());
}

}  // namespace
}  // namespace rally

int main(int argc, char** argv) { return rally::Main(argc, argv); }
