#include "tests/services/program.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include <absl/time/clock.h>

namespace rally {

Program::Program(const std::vector<std::string>& arguments, std::string output_file,
                 const std::string& input_file)
    : output_file_(std::move(output_file)) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 0, input_file.c_str(), O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&files, 1, output_file_.c_str(), O_WRONLY | O_CREAT | O_TRUNC,
                                   0644);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  if (posix_spawnp(&pid_, argv[0], &files, nullptr, argv.data(), environ) != 0) pid_ = -1;
  posix_spawn_file_actions_destroy(&files);
}

Program::~Program() {
  if (!started() || ended_) return;
  Signal(SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void Program::Signal(int number) { kill(pid_, number); }

int Program::Wait(absl::Time deadline) {
  if (!started() || ended_) return -1;
  const int handle = static_cast<int>(syscall(SYS_pidfd_open, pid_, 0));
  pollfd waited = {handle, POLLIN, 0};
  const int64_t left = absl::ToInt64Milliseconds(deadline - absl::Now());
  const int ready = poll(&waited, 1, static_cast<int>(std::max<int64_t>(left, 0)));
  close(handle);
  if (ready != 1) return -1;
  int status = 0;
  waitpid(pid_, &status, 0);
  ended_ = true;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::string Program::Output() const {
  std::stringstream text;
  text << std::ifstream(output_file_).rdbuf();
  return text.str();
}

}  // namespace rally
