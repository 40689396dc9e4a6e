#include "services/cli/server_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>
#include <absl/time/clock.h>

#include "common/atomic_file.h"
#include "common/check.h"
#include "common/shutdown.h"
#include "common/status_macros.h"

namespace rally {
namespace {

constexpr size_t kLogTailLines = 20;

// Runs in the child between fork and exec: async-signal-safe calls only. Returns on failure alone,
// with errno.
void ExecuteInChild(pid_t parent, const char* input, int log_fd, char* const* argv) {
  ResetSignalsInChild();
  setpgid(0, 0);
  if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) return;
  if (getppid() != parent) _exit(0);  // It died before the line above.
  const int input_fd = open(input, O_RDONLY | O_CLOEXEC);
  if (input_fd < 0 || dup2(input_fd, STDIN_FILENO) < 0 || dup2(log_fd, STDOUT_FILENO) < 0 ||
      dup2(log_fd, STDERR_FILENO) < 0) {
    return;
  }
  execv(argv[0], argv);
}

// Forks and waits until the child has become its program. 0, or the errno of what failed.
int ForkAndExecute(char* const* argv, const char* input, int log_fd, pid_t* pid) {
  int report[2];  // Closed by a successful exec; carries errno otherwise.
  if (pipe2(report, O_CLOEXEC) != 0) return errno;
  const pid_t parent = getpid();
  *pid = fork();
  if (*pid == 0) {
    ExecuteInChild(parent, input, log_fd, argv);
    const int error = errno;
    const ssize_t written = write(report[1], &error, sizeof(error));
    _exit(written == sizeof(error) ? 127 : 126);
  }
  int error = *pid < 0 ? errno : 0;
  close(report[1]);
  if (*pid > 0) {
    ssize_t count = 0;
    do {
      count = read(report[0], &error, sizeof(error));
    } while (count < 0 && errno == EINTR);
    if (count > 0) waitpid(*pid, nullptr, 0);
  }
  close(report[0]);
  return error;
}

// -1 and errno on failure.
int OpenLog(const std::string& path) {
  if (path.empty()) return fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 0);
  return open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
}

std::string LogTail(const std::string& path) {
  if (path.empty()) return "";
  const absl::StatusOr<std::string> text = ReadFile(path);
  if (!text.ok()) return absl::StrCat("\n  ", text.status().message());
  std::vector<std::string> lines = absl::StrSplit(*text, '\n', absl::SkipWhitespace());
  if (lines.empty()) return "; its log is empty";
  const size_t first = lines.size() - std::min(lines.size(), kLogTailLines);
  lines.erase(lines.begin(), lines.begin() + static_cast<ptrdiff_t>(first));
  return absl::StrCat("; the end of its log:\n  ", absl::StrJoin(lines, "\n  "));
}

}  // namespace

absl::StatusOr<std::unique_ptr<ServerProcess>> ServerProcess::Spawn(ServerCommand command) {
  const int log_fd = OpenLog(command.log_path);
  if (log_fd < 0) return ErrnoStatus(errno, "cannot write", command.log_path);
  std::vector<char*> argv = {command.program.data()};
  for (std::string& argument : command.arguments) argv.push_back(argument.data());
  argv.push_back(nullptr);
  pid_t pid = -1;
  const char* input = command.input_path.empty() ? "/dev/null" : command.input_path.c_str();
  const int error = ForkAndExecute(argv.data(), input, log_fd, &pid);
  close(log_fd);
  if (error != 0) return ErrnoStatus(error, "cannot start", command.program);
  const int pid_fd = static_cast<int>(syscall(SYS_pidfd_open, pid, 0));
  RALLY_CHECK(pid_fd >= 0, "pidfd_open of an unreaped child");
  return std::unique_ptr<ServerProcess>(new ServerProcess(std::move(command), pid, pid_fd));
}

ServerProcess::ServerProcess(ServerCommand command, pid_t pid, int pid_fd)
    : command_(std::move(command)), pid_(pid), pid_fd_(pid_fd) {}

ServerProcess::~ServerProcess() {
  Kill();
  close(pid_fd_);
}

bool ServerProcess::HasEnded() {
  if (wait_status_.has_value()) return true;
  int status = 0;
  if (waitpid(pid_, &status, WNOHANG) != pid_) return false;
  wait_status_ = status;
  return true;
}

bool ServerProcess::WaitForEnd(absl::Time deadline) {
  while (!HasEnded()) {
    const absl::Duration left = deadline - absl::Now();
    if (left <= absl::ZeroDuration()) return false;
    pollfd entry = {pid_fd_, POLLIN, 0};
    poll(&entry, 1, static_cast<int>(absl::ToInt64Milliseconds(left)) + 1);
  }
  return true;
}

void ServerProcess::Signal(int signal) {
  if (!HasEnded()) kill(pid_, signal);
}

void ServerProcess::Kill() {
  if (HasEnded()) return;
  kill(-pid_, SIGKILL);
  kill(pid_, SIGKILL);
  WaitForEnd(absl::Now() + absl::Seconds(10));
}

std::string ServerProcess::DescribeEnd() const {
  RALLY_CHECK(wait_status_.has_value(), "the process still runs");
  const std::string how = WIFSIGNALED(*wait_status_)
                              ? absl::StrCat("was killed by signal ", WTERMSIG(*wait_status_))
                              : absl::StrCat("exited with code ", WEXITSTATUS(*wait_status_));
  return absl::StrCat(command_.name, " ", how, LogTail(command_.log_path));
}

}  // namespace rally
