#include "services/cli/foreign_network.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/time/clock.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "services/cli/server_process.h"

namespace rally {
namespace {

constexpr absl::Duration kBound = absl::Seconds(10);  // For one command.

}  // namespace

absl::StatusOr<std::unique_ptr<ForeignNetwork>> ForeignNetwork::Open(absl::string_view flag,
                                                                     pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/ns/net");
  struct stat its = {};
  struct stat ours = {};
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<RunDirectory> directory, RunDirectory::Make(""));
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "cannot open", path);
  std::unique_ptr<ForeignNetwork> network(new ForeignNetwork(pid, fd, std::move(directory)));
  if (fstat(fd, &its) != 0 || stat("/proc/self/ns/net", &ours) != 0) {
    return ErrnoStatus(errno, "cannot look at", path);
  }
  if (its.st_ino == ours.st_ino && its.st_dev == ours.st_dev) {
    return absl::FailedPreconditionError(absl::StrCat(
        flag, ": process ", pid,
        " shares the network of this one, which would be struck too; only a process in a network "
        "namespace of its own, such as a container's, can be struck so"));
  }
  return network;
}

ForeignNetwork::~ForeignNetwork() { close(namespace_fd_); }

std::string ForeignNetwork::PathOf(const std::string& file) const {
  return absl::StrCat(directory_->path(), "/", file);
}

absl::StatusOr<std::string> ForeignNetwork::Read(const std::string& file) const {
  return ReadFile(PathOf(file));
}

absl::Status ForeignNetwork::Write(const std::string& file, absl::string_view text) const {
  return WriteFileAtomically(PathOf(file), text);
}

absl::Status ForeignNetwork::Run(const std::vector<std::string>& command, const std::string& input,
                                 const std::string& output) const {
  ServerCommand run;
  run.name = absl::StrJoin(command, " ");
  run.program = "/usr/bin/env";  // Finds nsenter, which finds the command.
  run.arguments = {"nsenter", absl::StrCat("--net=/proc/", getpid(), "/fd/", namespace_fd_)};
  run.arguments.insert(run.arguments.end(), command.begin(), command.end());
  run.log_path = PathOf(output);
  if (!input.empty()) run.input_path = PathOf(input);
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<ServerProcess> process,
                         ServerProcess::Spawn(std::move(run)));
  if (!process->WaitForEnd(absl::Now() + kBound)) {
    return absl::DeadlineExceededError(absl::StrCat(command[0], " did not end in time"));
  }
  if (process->succeeded()) return absl::OkStatus();
  return absl::UnavailableError(process->DescribeEnd());
}

}  // namespace rally
