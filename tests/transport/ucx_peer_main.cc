// Rank 1 of 2 in a process of its own, for tests that kill it. Arguments: UCX transports.
//
// Standard input and output carry each rank's address, as a line of hex digits. Then it echoes
// messages of the size that the first message (8 bytes, little-endian) says, until it is killed;
// each echo's number is a line of its output once it is being sent.
#include <cstddef>
#include <cstring>
#include <iostream>
#include <string>
#include <vector>

#include <absl/strings/escaping.h>
#include <absl/time/clock.h>

#include "workers/transport/ucx_transport.h"

namespace rally {
namespace {

Tag NumberedTag(int32_t source, int64_t number) { return {.round = number, .source = source}; }

absl::Status Receive(Transport& transport, int64_t number, absl::Span<std::byte> bytes) {
  Transfer receive = transport.Receive(0, NumberedTag(0, number), bytes);
  return transport.Wait({receive}, absl::Now() + absl::Seconds(60));
}

absl::Status Serve(const std::string& transports) {
  UcxOptions options;
  options.rank = 1;
  options.ranks = 2;
  options.transports = transports;
  auto transport = MakeUcxTransport(options);
  if (!transport.ok()) return transport.status();
  std::cout << absl::BytesToHexString((*transport)->address()) << std::endl;
  std::string line;
  std::getline(std::cin, line);
  const std::string addresses[] = {absl::HexStringToBytes(line), (*transport)->address()};
  absl::Status status = (*transport)->Connect(addresses);

  uint64_t size = 0;
  std::byte header[sizeof(size)];
  if (status.ok()) status = Receive(**transport, 0, absl::MakeSpan(header));
  std::memcpy(&size, header, sizeof(size));
  std::vector<std::byte> buffer(size);
  for (int64_t number = 1; status.ok(); ++number) {
    status = Receive(**transport, number, absl::MakeSpan(buffer));
    Transfer send = (*transport)->Send(0, NumberedTag(1, number), buffer);
    std::cout << number << std::endl;
    if (status.ok()) status = (*transport)->Wait({send}, absl::Now() + absl::Seconds(60));
  }
  return status;
}

}  // namespace
}  // namespace rally

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  absl::Status status = rally::Serve(argv[1]);
  std::cerr << status << std::endl;
  return 1;
}
