#include "tests/bench/pipe_message.h"

#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstring>

#include "common/status_macros.h"

namespace rally::bench {
namespace {

absl::Status ReadFully(int fd, char* data, size_t size, absl::Duration timeout) {
  while (size > 0) {
    pollfd ready{.fd = fd, .events = POLLIN, .revents = 0};
    const int polled = poll(&ready, 1, static_cast<int>(absl::ToInt64Milliseconds(timeout)));
    if (polled == 0) return absl::DeadlineExceededError("no answer from the other process");
    const ssize_t got = recv(fd, data, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return absl::UnavailableError("the other process has gone");
    data += got;
    size -= static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status WritePipeMessage(int fd, const std::string& message) {
  const uint64_t size = message.size();
  std::string frame(sizeof(size), '\0');
  std::memcpy(frame.data(), &size, sizeof(size));
  frame += message;
  for (size_t sent = 0; sent < frame.size();) {
    const ssize_t put = send(fd, frame.data() + sent, frame.size() - sent, MSG_NOSIGNAL);
    if (put < 0 && errno == EINTR) continue;
    if (put < 0) return absl::UnavailableError("the other process has gone");
    sent += static_cast<size_t>(put);
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadPipeMessage(int fd, absl::Duration timeout) {
  uint64_t size = 0;
  RALLY_RETURN_IF_ERROR(ReadFully(fd, reinterpret_cast<char*>(&size), sizeof(size), timeout));
  std::string message(size, '\0');
  RALLY_RETURN_IF_ERROR(ReadFully(fd, message.data(), size, timeout));
  return message;
}

}  // namespace rally::bench
