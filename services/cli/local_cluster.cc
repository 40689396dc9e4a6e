#include "services/cli/local_cluster.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdint>
#include <thread>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "common/check.h"
#include "common/cores.h"
#include "common/status_macros.h"
#include "services/cli/server_process.h"

namespace rally {
namespace {

constexpr absl::Duration kPollInterval = absl::Milliseconds(10);
constexpr absl::Duration kDefaultStopBound = absl::Seconds(10);

class ProcessCluster final : public LocalCluster {
 public:
  ProcessCluster(const LocalClusterOptions& options, DeathCallback on_death)
      : options_(options), on_death_(std::move(on_death)), wake_fd_(eventfd(0, EFD_CLOEXEC)) {
    RALLY_CHECK(wake_fd_ >= 0, "eventfd");
  }

  ~ProcessCluster() override {
    Stop(kDefaultStopBound);
    close(wake_fd_);
  }

  absl::Status Start(Interruption* interruption) {
    RALLY_RETURN_IF_ERROR(StartCoordinator(interruption));
    for (int i = 0; i < options_.workers; ++i) RALLY_RETURN_IF_ERROR(StartMember("model", i));
    for (int i = 0; i < options_.attention_servers; ++i) {
      RALLY_RETURN_IF_ERROR(StartMember("attention", i));
    }
    watcher_ = std::thread([this] { WatchChildren(); });
    return absl::OkStatus();
  }

  const std::string& address() const override { return address_; }
  const std::string& http_address() const override { return http_address_; }

  void Stop(absl::Duration bound) override {
    StopWatching();
    // Members first, so that they take their leave of a coordinator that still listens.
    for (size_t i = 1; i < children_.size(); ++i) children_[i]->Signal(SIGTERM);
    WaitForAll(absl::Now() + bound / 2, /*first=*/1);
    if (!children_.empty()) children_.front()->Signal(SIGTERM);
    WaitForAll(absl::Now() + bound / 2, /*first=*/0);
    children_.clear();  // Kills what is left.
  }

 private:
  std::string InRunDirectory(absl::string_view name) const {
    return absl::StrCat(options_.run_directory, "/", name);
  }

  absl::Status Spawn(const std::string& name, const std::string& program,
                     std::vector<std::string> arguments) {
    ServerCommand command;
    command.name = name;
    command.program = absl::StrCat(options_.program_directory, "/", program);
    command.arguments = std::move(arguments);
    command.log_path = InRunDirectory(absl::StrCat(name, ".log"));
    RALLY_ASSIGN_OR_RETURN(std::unique_ptr<ServerProcess> child,
                           ServerProcess::Spawn(std::move(command)));
    children_.push_back(std::move(child));
    return absl::OkStatus();
  }

  absl::Status StartCoordinator(Interruption* interruption) {
    const std::string address_file = InRunDirectory("coordinator.address.json");
    unlink(address_file.c_str());  // Of an earlier cluster in this directory.
    RALLY_RETURN_IF_ERROR(
        Spawn("coordinator", "rally-coordinator",
              {absl::StrCat("--listen=", options_.listen), absl::StrCat("--http=", options_.http),
               absl::StrCat("--data-dir=", InRunDirectory("coordinator")),
               absl::StrCat("--address-file=", address_file)}));
    const absl::Time deadline = absl::Now() + options_.start_timeout;
    while (!ReadAddresses(address_file)) {
      if (children_.front()->HasEnded()) {
        return absl::UnavailableError(children_.front()->DescribeEnd());
      }
      if (absl::Now() >= deadline) {
        return absl::DeadlineExceededError(absl::StrCat(
            "the coordinator did not listen within ", absl::FormatDuration(options_.start_timeout),
            "; its log is ", InRunDirectory("coordinator.log")));
      }
      if (interruption->WaitUntil(absl::Now() + kPollInterval)) return interruption->reason();
    }
    return absl::OkStatus();
  }

  // False while the file is not there, or not whole.
  bool ReadAddresses(const std::string& path) {
    const absl::StatusOr<std::string> text = ReadFile(path);
    if (!text.ok()) return false;
    const nlohmann::json json = nlohmann::json::parse(*text, nullptr, /*allow_exceptions=*/false);
    if (!json.is_object() || !json.contains("grpc") || !json["grpc"].is_string()) return false;
    address_ = json["grpc"].get<std::string>();
    if (json.contains("http") && json["http"].is_string()) {
      http_address_ = json["http"].get<std::string>();
    }
    return true;
  }

  absl::Status StartMember(const std::string& role, int index) {
    const int members = options_.workers + options_.attention_servers;
    const int threads =
        options_.threads > 0 ? options_.threads : std::max(1, UsableCores() / members);
    const std::string name = absl::StrCat(role == "model" ? "worker" : role, "-", index);
    return Spawn(name, "rally-worker",
                 {absl::StrCat("--role=", role), absl::StrCat("--coordinator=", address_),
                  absl::StrCat("--id=", name), absl::StrCat("--threads=", threads)});
  }

  // Body of watcher_: reports each child that ends, until woken.
  void WatchChildren() {
    std::vector<bool> reported(children_.size(), false);
    while (true) {
      std::vector<pollfd> entries = {{wake_fd_, POLLIN, 0}};
      for (size_t i = 0; i < children_.size(); ++i) {
        entries.push_back({reported[i] ? -1 : children_[i]->pid_fd(), POLLIN, 0});
      }
      poll(entries.data(), entries.size(), /*timeout=*/1000);
      if (entries[0].revents != 0) return;
      for (size_t i = 0; i < children_.size(); ++i) {
        if (reported[i] || !children_[i]->HasEnded()) continue;
        reported[i] = true;
        on_death_(absl::UnavailableError(children_[i]->DescribeEnd()), /*coordinator=*/i == 0);
      }
    }
  }

  void StopWatching() {
    if (!watcher_.joinable()) return;
    const uint64_t one = 1;
    RALLY_CHECK(write(wake_fd_, &one, sizeof(one)) == sizeof(one), "write to an eventfd");
    watcher_.join();
  }

  void WaitForAll(absl::Time deadline, size_t first) {
    for (size_t i = first; i < children_.size(); ++i) children_[i]->WaitForEnd(deadline);
  }

  const LocalClusterOptions options_;
  const DeathCallback on_death_;
  const int wake_fd_;
  std::string address_;
  std::string http_address_;
  // The coordinator first. While watcher_ runs, only it touches the children.
  std::vector<std::unique_ptr<ServerProcess>> children_;
  std::thread watcher_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<LocalCluster>> LocalCluster::Start(
    const LocalClusterOptions& options, Interruption* interruption, DeathCallback on_death) {
  auto cluster = std::make_unique<ProcessCluster>(options, std::move(on_death));
  RALLY_RETURN_IF_ERROR(cluster->Start(interruption));
  return cluster;
}

}  // namespace rally
