// ChildProcess: a helper program, spoken to over its standard input and output.
//
// Owned and used by one thread. The destructor closes its input, gives it a second to leave, then
// kills it; the child also ends with this process. Its standard error is ours.
#ifndef RALLY_SERVICES_DATA_CHILD_PROCESS_H_
#define RALLY_SERVICES_DATA_CHILD_PROCESS_H_

#include <sys/types.h>

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>

namespace rally {

class ChildProcess {
 public:
  // `command` is the program's path and its arguments. NotFound when there is no such program.
  static absl::StatusOr<std::unique_ptr<ChildProcess>> Start(
      const std::vector<std::string>& command);

  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;
  ~ChildProcess();

  // All of the bytes, or Unavailable when the child is gone, DeadlineExceeded when out of time;
  // after either the child is of no more use.
  absl::Status Write(absl::string_view bytes, absl::Time deadline);
  absl::Status Read(void* data, size_t bytes, absl::Time deadline);

 private:
  ChildProcess(std::string program, pid_t pid, int fd)
      : program_(std::move(program)), pid_(pid), fd_(fd) {}

  const std::string program_;
  const pid_t pid_;
  const int fd_;  // Our end of the socket that is the child's standard input and output.
};

}  // namespace rally

#endif  // RALLY_SERVICES_DATA_CHILD_PROCESS_H_
