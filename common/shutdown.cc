#include "common/shutdown.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstring>
#include <thread>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/synchronization/mutex.h>

#include "common/check.h"

namespace rally {
namespace {

constexpr int kExitInterrupted = 130;  // As shells report a death by SIGINT.

sigset_t ShutdownSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

// Handler of the signals, for threads that libraries made before Install and that do not block them
// (OpenBLAS makes such): blocks both on that thread for good and sends the signal on, so that it
// waits for signalfd. Async-signal-safe.
void PassOn(int signal_number, siginfo_t* /*info*/, void* context) {
  auto* interrupted = static_cast<ucontext_t*>(context);
  sigaddset(&interrupted->uc_sigmask, SIGINT);
  sigaddset(&interrupted->uc_sigmask, SIGTERM);
  kill(getpid(), signal_number);
}

class SignalfdShutdown final : public ShutdownSignal {
 public:
  SignalfdShutdown() {
    const sigset_t signals = ShutdownSignals();
    RALLY_CHECK(pthread_sigmask(SIG_BLOCK, &signals, &previous_mask_) == 0, "cannot block signals");
    struct sigaction pass_on = {};
    pass_on.sa_sigaction = PassOn;
    pass_on.sa_flags = SA_SIGINFO | SA_RESTART;
    pass_on.sa_mask = signals;
    RALLY_CHECK(sigaction(SIGINT, &pass_on, &previous_interrupt_) == 0 &&
                    sigaction(SIGTERM, &pass_on, &previous_terminate_) == 0,
                std::strerror(errno));
    signal_fd_ = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    stop_fd_ = eventfd(0, EFD_CLOEXEC);
    RALLY_CHECK(signal_fd_ >= 0 && stop_fd_ >= 0, std::strerror(errno));
    thread_ = std::thread([this] { Receive(); });
  }

  ~SignalfdShutdown() override {
    const uint64_t one = 1;
    RALLY_CHECK(write(stop_fd_, &one, sizeof(one)) == sizeof(one), std::strerror(errno));
    thread_.join();
    // What came meanwhile asked for the shutdown that is over; unblocked, it would kill.
    signalfd_siginfo late;
    while (read(signal_fd_, &late, sizeof(late)) == sizeof(late)) continue;
    close(signal_fd_);
    close(stop_fd_);
    sigaction(SIGINT, &previous_interrupt_, nullptr);
    sigaction(SIGTERM, &previous_terminate_, nullptr);
    pthread_sigmask(SIG_SETMASK, &previous_mask_, nullptr);
  }

  bool requested() const override {
    absl::MutexLock lock(&mutex_);
    return requested_;
  }

  int signal_number() const override {
    absl::MutexLock lock(&mutex_);
    return signal_number_;
  }

  bool WaitUntil(absl::Time deadline) const override {
    absl::MutexLock lock(&mutex_);
    mutex_.AwaitWithDeadline(absl::Condition(&requested_), deadline);
    return requested_;
  }

  void Request() override { RequestBy(0); }

  void OnRequest(std::function<void()> callback) override {
    absl::MutexLock lock(&callback_mutex_);
    callback_ = std::move(callback);
    if (callback_ != nullptr && requested()) callback_();
  }

 private:
  void RequestBy(int signal_number) {
    {
      absl::MutexLock lock(&mutex_);
      if (requested_) return;
      requested_ = true;
      signal_number_ = signal_number;
    }
    absl::MutexLock lock(&callback_mutex_);
    if (callback_ != nullptr) callback_();
  }

  // The thread: until the destructor says stop, signals become requests.
  void Receive() {
    constexpr int kPollMilliseconds = 60 * 1000;
    std::array<pollfd, 2> ready = {pollfd{.fd = signal_fd_, .events = POLLIN, .revents = 0},
                                   pollfd{.fd = stop_fd_, .events = POLLIN, .revents = 0}};
    while (true) {
      const int count = poll(ready.data(), ready.size(), kPollMilliseconds);
      RALLY_CHECK(count >= 0 || errno == EINTR, std::strerror(errno));
      if (count <= 0) continue;
      if (ready[1].revents != 0) return;
      signalfd_siginfo info;
      while (read(signal_fd_, &info, sizeof(info)) == sizeof(info)) {
        const int number = static_cast<int>(info.ssi_signo);
        if (number == SIGINT && requested()) _exit(kExitInterrupted);
        RequestBy(number);
      }
    }
  }

  sigset_t previous_mask_;
  struct sigaction previous_interrupt_ = {};
  struct sigaction previous_terminate_ = {};
  int signal_fd_ = -1;
  int stop_fd_ = -1;
  mutable absl::Mutex mutex_;
  bool requested_ ABSL_GUARDED_BY(mutex_) = false;
  int signal_number_ ABSL_GUARDED_BY(mutex_) = 0;
  absl::Mutex callback_mutex_ ABSL_ACQUIRED_BEFORE(mutex_);
  std::function<void()> callback_ ABSL_GUARDED_BY(callback_mutex_);
  std::thread thread_;
};

}  // namespace

std::unique_ptr<ShutdownSignal> ShutdownSignal::Install() {
  return std::make_unique<SignalfdShutdown>();
}

void ResetSignalsInChild() {
  const sigset_t signals = ShutdownSignals();
  signal(SIGINT, SIG_DFL);
  signal(SIGTERM, SIG_DFL);
  sigprocmask(SIG_UNBLOCK, &signals, nullptr);
}

}  // namespace rally
