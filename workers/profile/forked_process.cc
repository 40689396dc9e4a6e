#include "workers/profile/forked_process.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <iostream>

#include "common/atomic_file.h"
#include "common/shutdown.h"

namespace rally {

absl::StatusOr<std::unique_ptr<ForkedProcess>> ForkedProcess::Start(
    absl::FunctionRef<absl::Status(int fd)> body) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    return ErrnoStatus(errno, "cannot make", "a socket pair");
  }
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) {
    const int error = errno;
    close(ends[0]);
    close(ends[1]);
    return ErrnoStatus(error, "cannot start", "a second process");
  }
  if (pid == 0) {
    close(ends[0]);
    ResetSignalsInChild();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(0);  // It died before the line above.
    const absl::Status status = body(ends[1]);
    if (!status.ok()) std::cerr << status.message() << std::endl;
    _exit(status.ok() ? 0 : 1);
  }
  close(ends[1]);
  return std::unique_ptr<ForkedProcess>(new ForkedProcess(pid, ends[0]));
}

ForkedProcess::~ForkedProcess() {
  close(fd_);
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

absl::StatusOr<std::string> SwapText(int fd, const std::string& mine) {
  uint64_t length = mine.size();
  // No bytes are neither sent nor received: the other may have gone, knowing that none follow, and
  // a receive would wait for some.
  bool ok = send(fd, &length, sizeof(length), MSG_NOSIGNAL) == sizeof(length) &&
            (mine.empty() || send(fd, mine.data(), mine.size(), MSG_NOSIGNAL) ==
                                 static_cast<ssize_t>(mine.size())) &&
            recv(fd, &length, sizeof(length), MSG_WAITALL) == sizeof(length);
  std::string other(ok ? length : 0, '\0');
  ok = ok &&
       (length == 0 || recv(fd, other.data(), length, MSG_WAITALL) == static_cast<ssize_t>(length));
  if (!ok) return absl::UnavailableError("the second process of the measurement has gone");
  return other;
}

}  // namespace rally
