// Rank 1 of 2 in a process of its own, for tests that kill it. Arguments: UCX transports, and
// "stranger" for one that does not know the epoch's secret: it sends messages of every size that
// nobody can want, and a line of output after each hundred.
//
// Standard input and output carry each rank's address, as a line of hex digits. Then it echoes
// messages of the size that the first message (8 bytes, little-endian) says, until it is killed;
// each echo's number is a line of its output once it is being sent.
#include <cstddef>
#include <cstring>
#include <iostream>
#include <iterator>
#include <memory>
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

absl::StatusOr<std::unique_ptr<Transport>> Join(const std::string& transports,
                                                const std::string& secret) {
  UcxOptions options;
  options.rank = 1;
  options.ranks = 2;
  options.transports = transports;
  absl::StatusOr<std::unique_ptr<Transport>> transport = MakeUcxTransport(options);
  if (!transport.ok()) return transport.status();
  std::cout << absl::BytesToHexString((*transport)->address()) << std::endl;
  std::string line;
  std::getline(std::cin, line);
  const std::string addresses[] = {absl::HexStringToBytes(line), (*transport)->address()};
  absl::Status status = (*transport)->Connect(addresses, secret);
  if (!status.ok()) return status;
  return transport;
}

absl::Status Serve(const std::string& transports) {
  absl::StatusOr<std::unique_ptr<Transport>> transport = Join(transports, "");
  absl::Status status = transport.status();
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

absl::Status Disturb(const std::string& transports) {
  constexpr size_t kSizes[] = {0, 8, 100, 9000, 100000};
  absl::StatusOr<std::unique_ptr<Transport>> transport = Join(transports, "nobody else's secret");
  if (!transport.ok()) return transport.status();
  const std::vector<std::byte> bytes(100000);
  absl::Status status;
  for (int64_t number = 1; status.ok() && number <= 10000; ++number) {
    const size_t size = kSizes[number % std::size(kSizes)];
    (*transport)->Send(0, NumberedTag(1, number), absl::MakeSpan(bytes).first(size));
    if (number % 100 == 0) std::cout << number << std::endl;
    status = (*transport)->status();
  }
  std::string line;
  std::getline(std::cin, line);  // Until it is killed.
  return status;
}

}  // namespace
}  // namespace rally

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) return 2;
  absl::Status status = argc == 2 ? rally::Serve(argv[1]) : rally::Disturb(argv[1]);
  std::cerr << status << std::endl;
  return 1;
}
