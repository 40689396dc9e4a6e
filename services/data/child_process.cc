#include "services/data/child_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"

namespace rally {
namespace {

// Starts `command` with `fd` as its standard input and output; 0 or an errno.
int Spawn(const std::vector<std::string>& command, int fd, pid_t* pid) {
  std::vector<char*> arguments;
  arguments.reserve(command.size() + 1);
  for (const std::string& argument : command) {
    arguments.push_back(const_cast<char*>(argument.c_str()));
  }
  arguments.push_back(nullptr);
  sigset_t none;
  sigemptyset(&none);

  posix_spawn_file_actions_t actions;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&actions);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_adddup2(&actions, fd, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, fd, STDOUT_FILENO);
  posix_spawnattr_setsigmask(&attributes, &none);
  // A group of its own: Ctrl-C is for us; the child leaves when its input ends.
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
  const int error =
      posix_spawn(pid, arguments[0], &actions, &attributes, arguments.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

// Waits for `events` on `fd`; DeadlineExceeded when out of time.
absl::Status WaitFor(int fd, short events, absl::Time deadline) {
  while (true) {
    const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
    if (left <= 0) return absl::DeadlineExceededError("no answer in time");
    pollfd ready{.fd = fd, .events = events, .revents = 0};
    const int timeout = static_cast<int>(std::min<int64_t>(left, 60000));
    const int count = poll(&ready, 1, timeout);
    if (count > 0) return absl::OkStatus();
    if (count < 0 && errno != EINTR) return ErrnoStatus(errno, "cannot poll", "a child's socket");
  }
}

}  // namespace

absl::StatusOr<std::unique_ptr<ChildProcess>> ChildProcess::Start(
    const std::vector<std::string>& command) {
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
    return ErrnoStatus(errno, "cannot make a socket for", command[0]);
  }
  pid_t pid = 0;
  const int error = Spawn(command, sockets[1], &pid);
  close(sockets[1]);
  if (error != 0) {
    close(sockets[0]);
    return ErrnoStatus(error, "cannot start", command[0]);
  }
  fcntl(sockets[0], F_SETFL, O_NONBLOCK);
  return std::unique_ptr<ChildProcess>(new ChildProcess(command[0], pid, sockets[0]));
}

ChildProcess::~ChildProcess() {
  close(fd_);
  // Nothing says by itself that a child has ended: look, at most a second.
  constexpr int kLooks = 100;
  for (int look = 0; look < kLooks; ++look) {
    if (waitpid(pid_, nullptr, WNOHANG) != 0) return;
    poll(nullptr, 0, /*timeout=*/10);
  }
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

absl::Status ChildProcess::Write(absl::string_view bytes, absl::Time deadline) {
  while (!bytes.empty()) {
    const ssize_t count = send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count >= 0) {
      bytes.remove_prefix(static_cast<size_t>(count));
    } else if (errno == EAGAIN) {
      RALLY_RETURN_IF_ERROR(Annotate(WaitFor(fd_, POLLOUT, deadline), program_));
    } else if (errno != EINTR) {
      return absl::UnavailableError(absl::StrCat(program_, ": has ended"));
    }
  }
  return absl::OkStatus();
}

absl::Status ChildProcess::Read(void* data, size_t bytes, absl::Time deadline) {
  auto* next = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t count = recv(fd_, next, bytes, 0);
    if (count > 0) {
      next += count;
      bytes -= static_cast<size_t>(count);
    } else if (count < 0 && errno == EAGAIN) {
      RALLY_RETURN_IF_ERROR(Annotate(WaitFor(fd_, POLLIN, deadline), program_));
    } else if (count == 0 || errno != EINTR) {
      return absl::UnavailableError(absl::StrCat(program_, ": has ended"));
    }
  }
  return absl::OkStatus();
}

}  // namespace rally
