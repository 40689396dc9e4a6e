// ForkedProcess: a copy of this process that runs one function beside it, and ends with it.
//
// Start while this process has no compute threads: a copy has none of them. Parent and copy talk
// over a socket pair. The copy is killed when this object or the parent goes.
// Thread-compatible; start it on a thread that lives as long as the copy may.
#ifndef RALLY_WORKERS_PROFILE_FORKED_PROCESS_H_
#define RALLY_WORKERS_PROFILE_FORKED_PROCESS_H_

#include <sys/types.h>

#include <memory>
#include <string>

#include <absl/functional/function_ref.h>
#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace rally {

class ForkedProcess {
 public:
  // `body` runs in the copy, with its end of the socket pair; its error goes to standard error.
  static absl::StatusOr<std::unique_ptr<ForkedProcess>> Start(
      absl::FunctionRef<absl::Status(int fd)> body);
  ~ForkedProcess();
  ForkedProcess(const ForkedProcess&) = delete;
  ForkedProcess& operator=(const ForkedProcess&) = delete;

  int fd() const { return fd_; }

 private:
  ForkedProcess(pid_t pid, int fd) : pid_(pid), fd_(fd) {}

  const pid_t pid_;
  const int fd_;
};

// Sends `mine` to the other end and returns what it sent; both sides must call. Unavailable when
// the other process has gone.
absl::StatusOr<std::string> SwapText(int fd, const std::string& mine);

}  // namespace rally

#endif  // RALLY_WORKERS_PROFILE_FORKED_PROCESS_H_
