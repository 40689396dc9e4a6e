// LiveProcess: a process of this host that somebody else has started.
//
// Held by a file descriptor of the kernel's, so that nothing meant for it ever reaches another
// process that has got its number. Thread-compatible.
#ifndef RALLY_SERVICES_CLI_LIVE_PROCESS_H_
#define RALLY_SERVICES_CLI_LIVE_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

namespace rally {

class LiveProcess {
 public:
  // Unavailable when there is no such process (any more), FailedPrecondition when its program's
  // name is not `program`.
  static absl::StatusOr<std::unique_ptr<LiveProcess>> Open(pid_t pid, absl::string_view program);
  ~LiveProcess();
  LiveProcess(const LiveProcess&) = delete;
  LiveProcess& operator=(const LiveProcess&) = delete;

  pid_t pid() const { return pid_; }
  // The program of the process that started it, without its directory; empty when that is not to be
  // seen from here.
  std::string ParentProgram() const;
  // Unavailable when it has ended, PermissionDenied when it is not ours to signal.
  absl::Status Signal(int signal) const;
  // Waits until `deadline` for its end; true when it has ended.
  bool WaitForEnd(absl::Time deadline) const;

 private:
  LiveProcess(pid_t pid, int pid_fd) : pid_(pid), pid_fd_(pid_fd) {}

  const pid_t pid_;
  const int pid_fd_;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_LIVE_PROCESS_H_
