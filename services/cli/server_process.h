// ServerProcess: a program run beside this one that never outlives it.
//
// The child gets SIGTERM when this process dies, however that happens, and has its own process
// group, so that a terminal's Ctrl-C reaches this process alone. Standard input is a file or empty;
// output and errors go to a log file, or to this process's standard error.
//
// Spawn on a thread that lives as long as the child may: the kernel ties the death signal to it.
// Thread-compatible. The destructor kills and reaps what still runs.
#ifndef RALLY_SERVICES_CLI_SERVER_PROCESS_H_
#define RALLY_SERVICES_CLI_SERVER_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>
#include <absl/time/time.h>

namespace rally {

struct ServerCommand {
  std::string name;                    // For messages, e.g. "worker-0".
  std::string program;                 // Path of the executable.
  std::vector<std::string> arguments;  // Without the program's own name.
  std::string log_path;                // Created or truncated. Empty: standard error.
  std::string input_path = {};         // Standard input. Empty: nothing.
};

class ServerProcess {
 public:
  // NotFound or another error, naming the program, when it cannot be started.
  static absl::StatusOr<std::unique_ptr<ServerProcess>> Spawn(ServerCommand command);
  ~ServerProcess();
  ServerProcess(const ServerProcess&) = delete;
  ServerProcess& operator=(const ServerProcess&) = delete;

  const std::string& name() const { return command_.name; }
  pid_t pid() const { return pid_; }
  // Readable (poll) once the process has ended.
  int pid_fd() const { return pid_fd_; }

  // Reaps the process if it has ended. True from then on.
  bool HasEnded();
  // It has ended, and with exit code 0.
  bool succeeded() const { return wait_status_ == 0; }
  // Waits until `deadline` for the end.
  bool WaitForEnd(absl::Time deadline);
  // Sends a signal to the process; nothing once it has ended.
  void Signal(int signal);
  // Ends the process and all of its group at once, and reaps it.
  void Kill();

  // "NAME exited with code 1" or "NAME was killed by signal 9", and the end of its log file. After
  // HasEnded only.
  std::string DescribeEnd() const;

 private:
  ServerProcess(ServerCommand command, pid_t pid, int pid_fd);

  const ServerCommand command_;
  const pid_t pid_;
  const int pid_fd_;
  std::optional<int> wait_status_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_SERVER_PROCESS_H_
