// ListenAddress: "host:port" as the coordinator's flags take it.
#ifndef RALLY_SERVICES_COORDINATOR_LISTEN_ADDRESS_H_
#define RALLY_SERVICES_COORDINATOR_LISTEN_ADDRESS_H_

#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace rally {

struct ListenAddress {
  std::string host;  // A name or a number; IPv6 without its brackets.
  int port = 0;      // [0, 65535]; 0: any free one.

  std::string ToString() const;
  // Whether only this machine reaches it: 127.0.0.0/8, ::1 and "localhost".
  bool loopback() const;
};

// "127.0.0.1:7070", "[::1]:7070", "localhost:0". InvalidArgument says what is wrong.
absl::StatusOr<ListenAddress> ParseListenAddress(absl::string_view text);

// Why `address` cannot be listened on: tries to, and gives the system's reason. Ok when it can.
absl::Status ProbeListen(const ListenAddress& address);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_LISTEN_ADDRESS_H_
