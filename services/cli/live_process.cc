#include "services/cli/live_process.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <system_error>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>
#include <absl/time/clock.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"

namespace rally {
namespace {

constexpr char kParentField[] = "\nPPid:\t";

// The path of the program that a process runs.
absl::StatusOr<std::filesystem::path> ProgramFile(pid_t pid) {
  std::error_code error;
  const std::filesystem::path path =
      std::filesystem::read_symlink(absl::StrCat("/proc/", pid, "/exe"), error);
  if (error) return ErrnoStatus(error.value(), "cannot look at", absl::StrCat("process ", pid));
  return std::filesystem::path(std::string(absl::StripSuffix(path.native(), " (deleted)")));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LiveProcess>> LiveProcess::Open(pid_t pid,
                                                               absl::string_view program) {
  const std::string name = absl::StrCat("process ", pid);
  const int pid_fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pid_fd < 0) return ErrnoStatus(errno, "cannot open", name);
  // From here on the number is this process's own, unless it ends, which Signal would tell.
  std::unique_ptr<LiveProcess> process(new LiveProcess(pid, pid_fd));
  RALLY_ASSIGN_OR_RETURN(const std::filesystem::path path, ProgramFile(pid));
  if (path.filename().string() == program) return process;
  return absl::FailedPreconditionError(absl::StrCat(
      name, " is ", path.string(), ", not a ", program,
      ": the number that the coordinator has is of another container; run `rally chaos` in it"));
}

LiveProcess::~LiveProcess() { close(pid_fd_); }

std::string LiveProcess::ParentProgram() const {
  const absl::StatusOr<std::string> status = ReadFile(absl::StrCat("/proc/", pid_, "/status"));
  if (!status.ok()) return "";
  const size_t field = status->find(kParentField);
  if (field == std::string::npos) return "";
  const size_t begin = field + sizeof(kParentField) - 1;
  pid_t parent = 0;
  if (!absl::SimpleAtoi(status->substr(begin, status->find('\n', begin) - begin), &parent)) {
    return "";
  }
  const absl::StatusOr<std::filesystem::path> path = ProgramFile(parent);
  return path.ok() ? path->filename().string() : "";
}

absl::Status LiveProcess::Signal(int signal) const {
  if (syscall(SYS_pidfd_send_signal, pid_fd_, signal, nullptr, 0) == 0) return absl::OkStatus();
  return ErrnoStatus(errno, "cannot signal", absl::StrCat("process ", pid_));
}

bool LiveProcess::WaitForEnd(absl::Time deadline) const {
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    pollfd entry = {pid_fd_, POLLIN, 0};
    if (poll(&entry, 1, static_cast<int>(std::clamp<int64_t>(left, 0, 1000))) == 1) return true;
    if (left <= 0) return false;
  }
}

}  // namespace rally
