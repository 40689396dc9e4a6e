#include "workers/agent.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/clock.h>

#include "common/host.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "workers/attention/attention_kernel.h"
#include "workers/job_runner.h"
#include "workers/machine.h"
#include "workers/outbox.h"
#include "workers/session.h"
#include "workers/transport/buffer.h"

namespace rally {
namespace {

constexpr absl::Duration kStopBound = absl::Seconds(10);  // For the runner's thread.
constexpr absl::Duration kFarewell = absl::Seconds(2);    // For the last messages.

class Agent final : public SessionHandler {
 public:
  Agent(const WorkerOptions& options, const MemberResources& resources, ShutdownSignal* shutdown)
      : options_(options), shutdown_(*shutdown), runner_(options.role, resources, &outbox_) {}

  absl::Status Serve() {
    const std::unique_ptr<LogListenerHandle> listener =
        AddLogListener([this](absl::Time time, LogSeverity severity, absl::string_view text) {
          outbox_.PutLine(time, severity, text);
        });
    SessionOptions session_options;
    session_options.coordinator = options_.coordinator;
    session_options.security = options_.security;
    session_options.seed = std::hash<std::string>()(options_.id);
    RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<Session> session,
                           Session::Start(session_options, &outbox_, this));
    while (!shutdown_.WaitUntil(absl::Now() + absl::Hours(1))) {
    }
    absl::Status end = refused();
    if (end.ok()) end = Leave(*session);
    if (!runner_.Stop(absl::CancelledError("the member stops"), absl::Now() + kStopBound)) {
      RALLY_LOG_ERROR("the job's thread does not stop; ending the process");
      _exit(1);
    }
    session->Close(absl::Now() + kFarewell);
    return end;
  }

  v1::Hello Greet() override {
    v1::Hello hello;
    hello.set_member_id(options_.id);
    hello.set_role(options_.role);
    hello.set_host(MachineName());
    hello.set_process_id(getpid());
    hello.set_version(RALLY_VERSION);
    if (const std::optional<v1::JobEpoch> held = runner_.held()) {
      *hello.mutable_current() = *held;
      hello.set_rank(runner_.held_rank());
    }
    return hello;
  }

  void OnWelcome() override {
    RALLY_LOG_INFO("{} is a member of the cluster at {}", options_.id, options_.coordinator);
    if (leaving_) SayLeaving();
  }

  void OnMessage(const v1::CoordinatorMessage& message) override { runner_.Handle(message); }

  void OnRefused(const absl::Status& reason) override {
    {
      absl::MutexLock lock(&mutex_);
      refused_ = Annotate(reason, "the coordinator refuses this member");
    }
    shutdown_.Request();
  }

 private:
  absl::Status refused() const {
    absl::MutexLock lock(&mutex_);
    return refused_;
  }

  void SayLeaving() {
    v1::MemberMessage message;
    message.mutable_leaving();
    outbox_.Put(std::move(message));
  }

  // Works on until the coordinator lets go. Without a coordinator nobody will: its run ended with
  // the session.
  absl::Status Leave(const Session& session) {
    constexpr absl::Duration kStep = absl::Milliseconds(100);  // How soon a lost session is seen.
    const absl::Time deadline = absl::Now() + options_.grace;
    leaving_ = true;
    SayLeaving();
    if (const std::optional<v1::JobEpoch> held = runner_.held()) {
      RALLY_LOG_INFO("asked to stop; finishing the step of job {}", held->job_id());
    }
    while (!runner_.AwaitIdle(std::min(deadline, absl::Now() + kStep))) {
      if (!session.connected()) {
        RALLY_LOG_WARN("asked to stop while the coordinator is away; dropping the job");
        return absl::OkStatus();
      }
      if (absl::Now() < deadline) continue;
      return absl::DeadlineExceededError(absl::StrCat("not released within the grace period of ",
                                                      absl::FormatDuration(options_.grace)));
    }
    return absl::OkStatus();
  }

  const WorkerOptions& options_;
  ShutdownSignal& shutdown_;
  Outbox outbox_;
  JobRunner runner_;
  std::atomic<bool> leaving_{false};
  mutable absl::Mutex mutex_;
  absl::Status refused_ ABSL_GUARDED_BY(mutex_);
};

absl::StatusOr<std::string> AdvertisedHost(const WorkerOptions& options) {
  if (!options.advertise_host.empty()) return options.advertise_host;
  return AddressTowards(options.coordinator);
}

}  // namespace

absl::Status RunAgent(const WorkerOptions& options, ShutdownSignal* shutdown) {
  absl::StatusOr<std::string> host = AdvertisedHost(options);
  if (!host.ok()) return Annotate(host.status(), "--coordinator");
  absl::StatusOr<std::unique_ptr<AttentionKernel>> kernel =
      MakeCpuAttentionKernel({options.threads, options.instruction_set});
  if (!kernel.ok()) return Annotate(kernel.status(), "--instruction-set");
  RALLY_LOG_INFO("attention kernel: {}; other members reach this one at {}", (*kernel)->name(),
                 *host);
  BufferPool pool;
  MemberResources resources;
  resources.kernel = kernel->get();
  resources.pool = &pool;
  resources.threads = options.threads;
  resources.advertise_host = *std::move(host);
  resources.transports = options.transports;
  resources.network_devices = options.network_devices;
  resources.checksums = options.checksums;
  resources.phase_timeout = options.phase_timeout;
  return Agent(options, resources, shutdown).Serve();
}

}  // namespace rally
