#include "services/cli/process_image.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <filesystem>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_split.h>
#include <absl/strings/string_view.h>

#include "common/atomic_file.h"
#include "common/shutdown.h"
#include "common/status_macros.h"

namespace rally {
namespace {

// What the process in the middle says: the new one's number, then an errno unless it became its
// program.
struct Report {
  pid_t pid = -1;
  int error = 0;
};

absl::StatusOr<std::string> Link(pid_t pid, absl::string_view name) {
  const std::string path = absl::StrCat("/proc/", pid, "/", name);
  std::error_code error;
  const std::filesystem::path target = std::filesystem::read_symlink(path, error);
  if (error) return ErrnoStatus(error.value(), "cannot read", path);
  return target.string();
}

absl::StatusOr<bool> SharesNamespace(pid_t pid, absl::string_view name) {
  RALLY_ASSIGN_OR_RETURN(const std::string its, Link(pid, absl::StrCat("ns/", name)));
  RALLY_ASSIGN_OR_RETURN(const std::string ours, Link(getpid(), absl::StrCat("ns/", name)));
  return its == ours;
}

absl::Status CheckOurs(pid_t pid) {
  struct stat status = {};
  const std::string path = absl::StrCat("/proc/", pid);
  if (stat(path.c_str(), &status) != 0) return ErrnoStatus(errno, "cannot look at", path);
  if (status.st_uid != geteuid()) {
    return absl::FailedPreconditionError(absl::StrCat("--respawn: process ", pid, " is of user ",
                                                      status.st_uid,
                                                      "; run `rally chaos` as that user"));
  }
  for (const char* name : {"mnt", "pid"}) {
    RALLY_ASSIGN_OR_RETURN(const bool shared, SharesNamespace(pid, name));
    if (shared) continue;
    return absl::FailedPreconditionError(
        absl::StrCat("--respawn: process ", pid, " is in a container, whose runtime should start ",
                     "it again; leave --respawn out"));
  }
  return absl::OkStatus();
}

// The strings of a file in which each ends with a zero.
absl::StatusOr<std::vector<std::string>> ReadStrings(pid_t pid, absl::string_view name) {
  RALLY_ASSIGN_OR_RETURN(std::string text, ReadFile(absl::StrCat("/proc/", pid, "/", name)));
  if (!text.empty() && text.back() == '\0') text.pop_back();
  if (text.empty()) return std::vector<std::string>();
  return std::vector<std::string>(absl::StrSplit(text, '\0'));
}

int OpenOutput(pid_t pid, int fd) {
  const std::string path = absl::StrCat("/proc/", pid, "/fd/", fd);
  return open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC | O_NOCTTY);
}

std::vector<char*> Pointers(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  for (std::string& text : *strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

struct Execution {
  const char* program;
  const char* directory;
  char* const* arguments;
  char* const* environment;
  int network_fd;
  int output_fd;
  int error_fd;
  int report_fd;
};

// Runs in the new process: async-signal-safe calls only. Returns on failure alone, with errno.
void Execute(const Execution& what) {
  ResetSignalsInChild();
  for (const int number : {SIGHUP, SIGPIPE}) signal(number, SIG_DFL);
  setsid();
  const int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  const int output = what.output_fd >= 0 ? what.output_fd : null_fd;
  const int error = what.error_fd >= 0 ? what.error_fd : null_fd;
  if (null_fd < 0 || dup2(null_fd, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
      dup2(error, STDERR_FILENO) < 0) {
    return;
  }
  if (what.network_fd >= 0 && setns(what.network_fd, CLONE_NEWNET) != 0) return;
  if (chdir(what.directory) != 0) return;
  execve(what.program, what.arguments, what.environment);
}

// Runs in the process in the middle, whose end leaves the new one to init: nobody need reap it.
[[noreturn]] void ForkOnce(const Execution& what) {
  Report report;
  report.pid = fork();
  if (report.pid < 0) report.error = errno;
  if (report.pid == 0) {
    Execute(what);
    report.error = errno;
    report.pid = getpid();
  }
  const ssize_t written = write(what.report_fd, &report, sizeof(report));
  _exit(written == sizeof(report) ? 0 : 1);
}

}  // namespace

absl::StatusOr<ProcessImage> ProcessImage::Read(pid_t pid) {
  RALLY_RETURN_IF_ERROR(CheckOurs(pid));
  ProcessImage image;
  RALLY_ASSIGN_OR_RETURN(image.program_, Link(pid, "exe"));
  RALLY_ASSIGN_OR_RETURN(image.directory_, Link(pid, "cwd"));
  RALLY_ASSIGN_OR_RETURN(image.arguments_, ReadStrings(pid, "cmdline"));
  RALLY_ASSIGN_OR_RETURN(image.environment_, ReadStrings(pid, "environ"));
  RALLY_ASSIGN_OR_RETURN(const bool our_network, SharesNamespace(pid, "net"));
  if (!our_network) {
    const std::string path = absl::StrCat("/proc/", pid, "/ns/net");
    image.network_fd_ = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (image.network_fd_ < 0) return ErrnoStatus(errno, "cannot open", path);
  }
  image.output_fd_ = OpenOutput(pid, STDOUT_FILENO);
  image.error_fd_ = OpenOutput(pid, STDERR_FILENO);
  return image;
}

ProcessImage::ProcessImage(ProcessImage&& other) noexcept
    : program_(std::move(other.program_)),
      directory_(std::move(other.directory_)),
      arguments_(std::move(other.arguments_)),
      environment_(std::move(other.environment_)),
      network_fd_(std::exchange(other.network_fd_, -1)),
      output_fd_(std::exchange(other.output_fd_, -1)),
      error_fd_(std::exchange(other.error_fd_, -1)) {}

ProcessImage::~ProcessImage() {
  for (const int fd : {network_fd_, output_fd_, error_fd_}) {
    if (fd >= 0) close(fd);
  }
}

absl::StatusOr<pid_t> ProcessImage::Start() {
  int pipe_fds[2];  // Closed by a successful exec, after the report of the process in the middle.
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return ErrnoStatus(errno, "cannot start", program_);
  const std::vector<char*> arguments = Pointers(&arguments_);
  const std::vector<char*> environment = Pointers(&environment_);
  const Execution what = {program_.c_str(),   directory_.c_str(), arguments.data(),
                          environment.data(), network_fd_,        output_fd_,
                          error_fd_,          pipe_fds[1]};
  const pid_t middle = fork();
  if (middle == 0) ForkOnce(what);
  const int fork_error = errno;
  close(pipe_fds[1]);
  pid_t pid = -1;
  int error = middle < 0 ? fork_error : 0;
  Report report;
  ssize_t count = 0;
  do {
    count = read(pipe_fds[0], &report, sizeof(report));
    if (count == sizeof(report)) {
      pid = report.pid;
      if (report.error != 0) error = report.error;
    }
  } while (count > 0 || (count < 0 && errno == EINTR));
  close(pipe_fds[0]);
  if (middle > 0) waitpid(middle, nullptr, 0);
  if (error != 0 || pid < 0) return ErrnoStatus(error, "cannot start", program_);
  return pid;
}

}  // namespace rally
