#include "services/cli/live_process.h"

#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <system_error>

#include <absl/strings/str_cat.h>
#include <absl/strings/strip.h>
#include <absl/time/clock.h>

#include "common/atomic_file.h"

namespace rally {

absl::StatusOr<std::unique_ptr<LiveProcess>> LiveProcess::Open(pid_t pid,
                                                               absl::string_view program) {
  const std::string name = absl::StrCat("process ", pid);
  const int pid_fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  if (pid_fd < 0) return ErrnoStatus(errno, "cannot open", name);
  // From here on the number is this process's own, unless it ends, which Signal would tell.
  std::unique_ptr<LiveProcess> process(new LiveProcess(pid, pid_fd));
  std::error_code error;
  const std::filesystem::path path =
      std::filesystem::read_symlink(absl::StrCat("/proc/", pid, "/exe"), error);
  if (error) return ErrnoStatus(error.value(), "cannot look at", name);
  const std::string file = path.filename().string();
  if (absl::StripSuffix(file, " (deleted)") == program) return process;
  return absl::FailedPreconditionError(absl::StrCat(
      name, " is ", path.string(), ", not a ", program,
      ": the number that the coordinator has is of another container; run `rally chaos` in it"));
}

LiveProcess::~LiveProcess() { close(pid_fd_); }

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
