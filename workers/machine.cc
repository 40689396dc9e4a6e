#include "workers/machine.h"

#include <netdb.h>
#include <sched.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/host.h"

namespace rally {
namespace {

// The address that a datagram socket connected to `to` gets.
absl::StatusOr<std::string> SourceAddress(const addrinfo& to) {
  const int fd = socket(to.ai_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return absl::UnavailableError(std::strerror(errno));
  sockaddr_storage local = {};
  socklen_t length = sizeof(local);
  char text[NI_MAXHOST] = {};
  const bool found = connect(fd, to.ai_addr, to.ai_addrlen) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&local), &length) == 0 &&
                     getnameinfo(reinterpret_cast<sockaddr*>(&local), length, text, sizeof(text),
                                 nullptr, 0, NI_NUMERICHOST) == 0;
  const int error = errno;
  close(fd);
  if (!found) return absl::UnavailableError(std::strerror(error));
  return std::string(text);
}

}  // namespace

std::string DefaultMemberId() { return absl::StrCat(HostName(), "-", getpid()); }

absl::StatusOr<std::string> AddressTowards(const std::string& target) {
  const size_t colon = target.rfind(':');
  std::string host = target.substr(0, colon);
  if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
  addrinfo hints = {};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(host.c_str(), target.substr(colon + 1).c_str(), &hints, &found);
  if (error != 0) {
    return absl::UnavailableError(absl::StrCat("look up ", host, ": ", gai_strerror(error)));
  }
  absl::StatusOr<std::string> address = SourceAddress(*found);
  freeaddrinfo(found);
  if (address.ok()) return address;
  return absl::UnavailableError(
      absl::StrCat("no route to ", host, ": ", address.status().message()));
}

absl::Status PinProcess(const std::vector<int>& cpus) {
  if (cpus.empty()) return absl::OkStatus();
  cpu_set_t set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) CPU_SET(cpu, &set);
  // Libraries may have made threads before main.
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", error)) {
    pid_t thread = 0;
    if (!absl::SimpleAtoi(entry.path().filename().string(), &thread)) continue;
    if (sched_setaffinity(thread, sizeof(set), &set) != 0 && errno != ESRCH) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--cpus: cannot run on cores ", absl::StrJoin(cpus, ","), ": ", std::strerror(errno)));
    }
  }
  if (error) return absl::InternalError(absl::StrCat("/proc/self/task: ", error.message()));
  return absl::OkStatus();
}

}  // namespace rally
