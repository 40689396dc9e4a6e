#include "services/cli/network_cut.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/strings/string_view.h>
#include <absl/time/clock.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "services/cli/server_process.h"

namespace rally {
namespace {

constexpr absl::Duration kBound = absl::Seconds(10);  // For one run of ip.

// Names in the output of `ip -o link show up`, as in "2: eth0@if7: <BROADCAST,...".
std::vector<std::string> LinksIn(const std::string& text) {
  std::vector<std::string> links;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<absl::string_view> parts = absl::StrSplit(line, absl::MaxSplits(": ", 2));
    if (parts.size() < 3) continue;
    const std::vector<std::string> name = absl::StrSplit(parts[1], absl::MaxSplits('@', 1));
    if (name[0] != "lo") links.push_back(name[0]);
  }
  return links;
}

}  // namespace

absl::StatusOr<std::unique_ptr<NetworkCut>> NetworkCut::Prepare(pid_t pid) {
  const std::string path = absl::StrCat("/proc/", pid, "/ns/net");
  struct stat its = {};
  struct stat ours = {};
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "cannot open", path);
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<RunDirectory> directory, RunDirectory::Make(""));
  std::unique_ptr<NetworkCut> cut(new NetworkCut(pid, fd, std::move(directory)));
  if (fstat(fd, &its) != 0 || stat("/proc/self/ns/net", &ours) != 0) {
    return ErrnoStatus(errno, "cannot look at", path);
  }
  if (its.st_ino == ours.st_ino && its.st_dev == ours.st_dev) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--partition: process ", pid,
        " shares the network of this one, which would be cut off too; only a process in a network "
        "namespace of its own, such as a container's, can be cut off"));
  }
  const absl::Status saved = cut->Save();
  if (!saved.ok()) {
    return absl::FailedPreconditionError(absl::StrCat("--partition: ", saved.message()));
  }
  return cut;
}

NetworkCut::~NetworkCut() {
  Mend().IgnoreError();
  close(namespace_fd_);
}

absl::Status NetworkCut::Save() {
  RALLY_RETURN_IF_ERROR(Ip({"-o", "link", "show", "up"}, "", "links"));
  RALLY_ASSIGN_OR_RETURN(const std::string text, ReadFile(directory_->path() + "/links"));
  links_ = LinksIn(text);
  if (links_.empty()) {
    return absl::FailedPreconditionError(absl::StrCat("process ", pid_, " has no link that is up"));
  }
  RALLY_RETURN_IF_ERROR(Ip({"address", "save"}, "", "addresses"));
  RALLY_RETURN_IF_ERROR(Ip({"-4", "route", "save"}, "", "routes-4"));
  routes_6_ = Ip({"-6", "route", "save"}, "", "routes-6").ok();  // A kernel may be without IPv6.
  return absl::OkStatus();
}

absl::Status NetworkCut::Cut() {
  cut_ = true;
  for (const std::string& link : links_) {
    RALLY_RETURN_IF_ERROR(Ip({"link", "set", "dev", link, "down"}, "", "log"));
  }
  return absl::OkStatus();
}

absl::Status NetworkCut::Mend() {
  if (!std::exchange(cut_, false)) return absl::OkStatus();
  absl::Status status;
  for (const std::string& link : links_) {
    status.Update(Ip({"link", "set", "dev", link, "up"}, "", "log"));
  }
  // What is there already stays; ip says so and succeeds.
  status.Update(Ip({"address", "restore"}, "addresses", "log"));
  status.Update(Ip({"-4", "route", "restore"}, "routes-4", "log"));
  if (routes_6_) status.Update(Ip({"-6", "route", "restore"}, "routes-6", "log"));
  return status;
}

absl::Status NetworkCut::Ip(const std::vector<std::string>& arguments, const std::string& input,
                            const std::string& output) const {
  ServerCommand command;
  command.name = absl::StrCat("ip ", absl::StrJoin(arguments, " "));
  command.program = "/usr/bin/env";  // Finds nsenter, which finds ip.
  command.arguments = {"nsenter", absl::StrCat("--net=/proc/", getpid(), "/fd/", namespace_fd_),
                       "ip"};
  command.arguments.insert(command.arguments.end(), arguments.begin(), arguments.end());
  command.log_path = absl::StrCat(directory_->path(), "/", output);
  if (!input.empty()) command.input_path = absl::StrCat(directory_->path(), "/", input);
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<ServerProcess> process,
                         ServerProcess::Spawn(std::move(command)));
  if (!process->WaitForEnd(absl::Now() + kBound)) {
    return absl::DeadlineExceededError("ip did not end in time");
  }
  if (process->succeeded()) return absl::OkStatus();
  return absl::UnavailableError(process->DescribeEnd());
}

}  // namespace rally
