#include "workers/model/collective.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <utility>

#include <absl/base/thread_annotations.h>
#include <absl/cleanup/cleanup.h>
#include <absl/strings/ascii.h>
#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "common/status_macros.h"

namespace rally {
namespace {

// c10d's messages are long: a stack trace follows the first line.
absl::Status FromMessage(const std::string& text, const std::string& what) {
  const std::string message = absl::StrCat(what, ": ", text.substr(0, text.find('\n')));
  const std::string lower = absl::AsciiStrToLower(text);
  if (absl::StrContains(lower, "timeout") || absl::StrContains(lower, "timed out")) {
    return absl::DeadlineExceededError(message);
  }
  return absl::UnavailableError(message);
}

absl::Status FromException(const std::exception& error, const std::string& what) {
  return FromMessage(error.what(), what);
}

// A collective of one: sums of one are what they are.
class SingleCollective final : public Collective {
 public:
  int32_t rank() const override { return 0; }
  int32_t ranks() const override { return 1; }
  absl::Status AllReduceSum(absl::Span<float> /*values*/) override { return status(); }
  absl::Status AllReduceSum(absl::Span<double> /*values*/) override { return status(); }
  void Abort(const absl::Status& error) override {
    absl::MutexLock lock(&mutex_);
    if (status_.ok()) status_ = error;
  }

 private:
  absl::Status status() const {
    absl::MutexLock lock(&mutex_);
    return status_;
  }
  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
};

// Longer than any wait, and short enough to be added to a time.
constexpr std::chrono::hours kWithoutEnd(24 * 365);

// Closing the connections is the one way to wake a blocked operation, and c10d keeps it to itself.
class ClosableGloo final : public c10d::ProcessGroupGloo {
 public:
  using c10d::ProcessGroupGloo::ProcessGroupGloo;
  // Once connected, within the timeout of the options.
  void ReduceWithoutEnd() {
    for (const auto& context : contexts_) context->setTimeout(kWithoutEnd);
  }
  void CloseConnections() {
    for (const auto& context : contexts_) context->closeConnections();
  }
};

// How one reduction ended, told by Gloo's thread to the caller, who may have gone.
class Outcome {
 public:
  // `error` is empty on success. The first end counts.
  void End(const std::string& error) {
    absl::MutexLock lock(&mutex_);
    if (ended_) return;
    ended_ = true;
    error_ = error;
  }
  // Waits for the end, which the loss of a peer brings too.
  std::string Await() {
    absl::MutexLock lock(&mutex_, absl::Condition(&ended_));
    return error_;
  }

 private:
  absl::Mutex mutex_;
  bool ended_ ABSL_GUARDED_BY(mutex_) = false;
  std::string error_ ABSL_GUARDED_BY(mutex_);
};

// Gloo cannot be told to give an operation up: closing its connections wakes the peers, and its own
// thread may go on waiting. So sums are made in memory of their own, and after an abort within a
// reduction the caller leaves, and the group with its thread is left behind.
class GlooCollective final : public Collective {
 public:
  GlooCollective(c10::intrusive_ptr<ClosableGloo> group, int32_t rank, int32_t ranks)
      : group_(std::move(group)), rank_(rank), ranks_(ranks) {}
  ~GlooCollective() override {
    if (abandoned_) group_.release();
  }

  int32_t rank() const override { return rank_; }
  int32_t ranks() const override { return ranks_; }
  absl::Status AllReduceSum(absl::Span<float> values) override {
    return Reduce(values.data(), values.size(), at::kFloat);
  }
  absl::Status AllReduceSum(absl::Span<double> values) override {
    return Reduce(values.data(), values.size(), at::kDouble);
  }

  void Abort(const absl::Status& error) override {
    std::shared_ptr<Outcome> pending;
    {
      absl::MutexLock lock(&mutex_);
      if (!status_.ok()) return;
      status_ = error;
      pending = pending_;
    }
    group_->CloseConnections();
    if (pending != nullptr) pending->End("aborted");
  }

 private:
  // Gloo sums around a ring in an order fixed by the ranks, and every rank gets the same bits.
  absl::Status Reduce(void* data, size_t count, at::ScalarType type) {
    if (count == 0) return status();
    const auto outcome = std::make_shared<Outcome>();
    RALLY_RETURN_IF_ERROR(Begin(outcome));
    const at::Tensor values =
        at::from_blob(data, {static_cast<int64_t>(count)}, at::TensorOptions().dtype(type));
    try {
      std::vector<at::Tensor> sums = {values.clone()};
      const auto future = group_->allreduce(sums)->getFuture();
      future->addCallback([outcome](c10::ivalue::Future& done) {
        outcome->End(done.hasError() ? done.tryRetrieveErrorMessage() : "");
      });
      const std::string error = outcome->Await();
      RALLY_RETURN_IF_ERROR(Finish(error, future->completed()));
      values.copy_(sums[0]);
      return absl::OkStatus();
    } catch (const std::exception& error) {
      return Finish(error.what(), true);
    }
  }

  absl::Status Begin(const std::shared_ptr<Outcome>& outcome) {
    absl::MutexLock lock(&mutex_);
    if (status_.ok()) pending_ = outcome;
    return status_;
  }
  // The sticky status once a reduction has ended with `error`; `completed` unless Gloo still has
  // it.
  absl::Status Finish(const std::string& error, bool completed) {
    absl::MutexLock lock(&mutex_);
    pending_ = nullptr;
    abandoned_ = abandoned_ || !completed;
    if (status_.ok() && !error.empty()) status_ = FromMessage(error, "gradient reduction");
    return status_;
  }
  absl::Status status() const {
    absl::MutexLock lock(&mutex_);
    return status_;
  }

  c10::intrusive_ptr<ClosableGloo> group_;
  const int32_t rank_;
  const int32_t ranks_;
  bool abandoned_ = false;  // By the caller's thread, which also destroys.
  mutable absl::Mutex mutex_;
  absl::Status status_ ABSL_GUARDED_BY(mutex_);
  std::shared_ptr<Outcome> pending_ ABSL_GUARDED_BY(mutex_);
};

class StoreRendezvous final : public Rendezvous {
 public:
  StoreRendezvous(c10::intrusive_ptr<c10d::TCPStore> store, std::string endpoint)
      : store_(std::move(store)), endpoint_(std::move(endpoint)) {}
  std::string endpoint() const override { return endpoint_; }

 private:
  const c10::intrusive_ptr<c10d::TCPStore> store_;
  const std::string endpoint_;
};

struct HostPort {
  std::string host;
  uint16_t port = 0;
};

absl::StatusOr<HostPort> ParseEndpoint(const std::string& endpoint) {
  const size_t colon = endpoint.rfind(':');
  uint32_t port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(endpoint.substr(colon + 1), &port) ||
      port == 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("rendezvous endpoint \"", endpoint, "\" is not host:port"));
  }
  return HostPort{endpoint.substr(0, colon), static_cast<uint16_t>(port)};
}

// The numeric address of this machine from which `to` is reached, so that Gloo listens where its
// peers can connect. Connecting a datagram socket sends nothing.
absl::StatusOr<std::string> LocalAddressTowards(const HostPort& to) {
  addrinfo hints = {};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(to.host.c_str(), std::to_string(to.port).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat("look up ", to.host, ": ", gai_strerror(error)));
  }
  const absl::Cleanup free_found = [found] { freeaddrinfo(found); };
  const int fd = socket(found->ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  const absl::Cleanup close_socket = [fd] { close(fd); };
  sockaddr_storage local = {};
  socklen_t length = sizeof(local);
  char text[NI_MAXHOST];
  if (fd < 0 || connect(fd, found->ai_addr, found->ai_addrlen) != 0 ||
      getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length) != 0 ||
      getnameinfo(reinterpret_cast<sockaddr*>(&local), length, text, sizeof(text), nullptr, 0,
                  NI_NUMERICHOST) != 0) {
    return absl::UnavailableError(absl::StrCat("no route to ", to.host));
  }
  return std::string(text);
}

absl::StatusOr<c10::intrusive_ptr<ClosableGloo>> ConnectGloo(int32_t rank, int32_t ranks,
                                                             const HostPort& store_at,
                                                             const std::string& local_address,
                                                             std::chrono::milliseconds timeout) {
  try {
    c10d::TCPStoreOptions store_options;
    store_options.port = store_at.port;
    store_options.waitWorkers = false;
    store_options.timeout = timeout;
    auto store = c10::make_intrusive<c10d::TCPStore>(store_at.host, store_options);
    auto options = c10d::ProcessGroupGloo::Options::create();
    options->devices.push_back(c10d::ProcessGroupGloo::createDeviceForHostname(local_address));
    options->timeout = timeout;
    options->threads = 1;
    auto group = c10::make_intrusive<ClosableGloo>(store, rank, ranks, options);
    group->ReduceWithoutEnd();
    return group;
  } catch (const std::exception& error) {
    return FromException(error, absl::StrCat("rank ", rank, " could not join the workers' group"));
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<Rendezvous>> MakeRendezvous(const std::string& host) {
  try {
    c10d::TCPStoreOptions options;
    options.port = 0;
    options.isServer = true;
    options.waitWorkers = false;
    auto store = c10::make_intrusive<c10d::TCPStore>(host, options);
    const std::string endpoint = absl::StrCat(host, ":", store->getPort());
    return std::make_unique<StoreRendezvous>(std::move(store), endpoint);
  } catch (const std::exception& error) {
    return FromException(error, absl::StrCat("rendezvous on ", host));
  }
}

absl::StatusOr<std::unique_ptr<Collective>> MakeCollective(int32_t rank, int32_t ranks,
                                                           const std::string& endpoint,
                                                           absl::Duration timeout) {
  if (ranks < 1 || rank < 0 || rank >= ranks) {
    return absl::InvalidArgumentError(absl::StrCat("rank ", rank, " of ", ranks));
  }
  if (ranks == 1) return std::make_unique<SingleCollective>();
  RALLY_ASSIGN_OR_RETURN(const HostPort store_at, ParseEndpoint(endpoint));
  RALLY_ASSIGN_OR_RETURN(const std::string local_address, LocalAddressTowards(store_at));
  RALLY_ASSIGN_OR_RETURN(auto group, ConnectGloo(rank, ranks, store_at, local_address,
                                                 absl::ToChronoMilliseconds(timeout)));
  return std::make_unique<GlooCollective>(std::move(group), rank, ranks);
}

}  // namespace rally
