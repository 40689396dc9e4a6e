// ProcessImage: what it takes to start a process again as it was.
//
// Program, arguments, environment, directory, network namespace and where its output goes, as /proc
// has them. Move-only; thread-compatible.
#ifndef RALLY_SERVICES_CLI_PROCESS_IMAGE_H_
#define RALLY_SERVICES_CLI_PROCESS_IMAGE_H_

#include <sys/types.h>

#include <string>
#include <vector>

#include <absl/status/statusor.h>

namespace rally {

class ProcessImage {
 public:
  // Of a process that still runs. FailedPrecondition when it could not be started as it was: it is
  // another user's, or in a container, whose runtime is to do it.
  static absl::StatusOr<ProcessImage> Read(pid_t pid);
  ProcessImage(ProcessImage&& other) noexcept;
  ProcessImage& operator=(ProcessImage&&) = delete;
  ~ProcessImage();

  const std::vector<std::string>& arguments() const { return arguments_; }

  // Starts it, tied neither to this process nor to its terminal: it outlives both. Its process id,
  // or why its program could not be executed.
  absl::StatusOr<pid_t> Start();

 private:
  ProcessImage() = default;

  std::string program_;
  std::string directory_;
  std::vector<std::string> arguments_;  // With the program's own name.
  std::vector<std::string> environment_;
  int network_fd_ = -1;  // Of its network namespace; -1: ours.
  int output_fd_ = -1;   // Output and errors; -1: they went where one cannot write again.
  int error_fd_ = -1;
};

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_PROCESS_IMAGE_H_
