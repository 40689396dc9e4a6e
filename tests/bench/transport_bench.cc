#include "tests/bench/transport_bench.h"

#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>

#include "common/median.h"
#include "common/status_macros.h"
#include "workers/transport/buffer.h"
#include "workers/transport/crc32c.h"
#include "workers/transport/ucx_transport.h"

namespace rally::bench {
namespace {

constexpr int kRoundTrips = 2000;
constexpr size_t kSmall = 64;               // Bytes.
constexpr size_t kLarge = size_t{8} << 20;  // Bytes.
constexpr int kLargeMessages = 64;
constexpr int kInFlight = 4;
constexpr int kRepeats = 9;
constexpr absl::Duration kPatience = absl::Seconds(60);

struct Way {
  const char* name;
  const char* transports;
};
constexpr Way kWays[] = {{"shared memory", "sysv,self,tcp"},
                         {"with direct reads", "sysv,cma,self,tcp"},
                         {"TCP on lo", "tcp,self"}};

// Medians.
struct Figures {
  double latency_us = 0;  // One way.
  double gigabytes_per_second = 0;
};
// Without and with checksums.
using FiguresOfBoth = std::array<Figures, 2>;

Tag NumberedTag(int32_t source, int64_t number) { return {.round = number, .source = source}; }

// Swaps addresses with the other process over `fd`: a length, then the bytes.
absl::StatusOr<std::string> SwapAddress(int fd, const std::string& mine) {
  uint64_t length = mine.size();
  bool ok = write(fd, &length, sizeof(length)) == sizeof(length) &&
            write(fd, mine.data(), mine.size()) == static_cast<ssize_t>(mine.size()) &&
            recv(fd, &length, sizeof(length), MSG_WAITALL) == sizeof(length);
  std::string other(ok ? length : 0, '\0');
  ok = ok && recv(fd, other.data(), length, MSG_WAITALL) == static_cast<ssize_t>(length);
  if (!ok) return absl::UnavailableError("the other process of the transport bench is gone");
  return other;
}

absl::StatusOr<std::unique_ptr<Transport>> Meet(int fd, int32_t rank, const Way& way,
                                                bool checksums) {
  UcxOptions options;
  options.rank = rank;
  options.ranks = 2;
  options.transports = way.transports;
  options.checksums = checksums;
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<Transport> transport, MakeUcxTransport(options));
  std::array<std::string, 2> addresses;
  addresses[rank] = transport->address();
  RALLY_ASSIGN_OR_RETURN(addresses[1 - rank], SwapAddress(fd, addresses[rank]));
  RALLY_RETURN_IF_ERROR(transport->Connect(addresses, ""));
  return transport;
}

// Both ranks run this; the time of rank 0 is that of `kRoundTrips` messages there and back.
absl::Status PingPong(Transport& transport, int64_t* number, absl::Duration* time) {
  int32_t self = transport.rank(), peer = 1 - self;
  std::array<std::byte, kSmall> bytes = {};
  absl::Time begin = absl::Now();
  for (int i = 0; i < kRoundTrips; ++i, ++*number) {
    Transfer receive = transport.Receive(peer, NumberedTag(peer, *number), absl::MakeSpan(bytes));
    if (self == 1) RALLY_RETURN_IF_ERROR(transport.Wait({receive}, absl::Now() + kPatience));
    Transfer send = transport.Send(peer, NumberedTag(self, *number), bytes);
    RALLY_RETURN_IF_ERROR(transport.Wait({send, receive}, absl::Now() + kPatience));
  }
  *time = absl::Now() - begin;
  return absl::OkStatus();
}

// Rank 0 sends `kLargeMessages`, `kInFlight` at a time; rank 1 answers when it has them all.
absl::Status Stream(Transport& transport, std::vector<Buffer>& buffers, int64_t* number,
                    absl::Duration* time) {
  int32_t self = transport.rank(), peer = 1 - self;
  std::vector<Transfer> transfers;
  absl::Time begin = absl::Now();
  for (int i = 0; i < kLargeMessages; ++i, ++*number) {
    if (i >= kInFlight) {
      RALLY_RETURN_IF_ERROR(transport.Wait({transfers[i - kInFlight]}, absl::Now() + kPatience));
    }
    absl::Span<std::byte> bytes = buffers[i % kInFlight].bytes();
    Tag tag = NumberedTag(0, *number);
    transfers.push_back(self == 0 ? transport.Send(peer, tag, bytes)
                                  : transport.Receive(peer, tag, bytes));
  }
  RALLY_RETURN_IF_ERROR(transport.Wait(transfers, absl::Now() + kPatience));
  Tag done = NumberedTag(1, (*number)++);
  Transfer answer = self == 0 ? transport.Receive(1, done, {}) : transport.Send(0, done, {});
  RALLY_RETURN_IF_ERROR(transport.Wait({answer}, absl::Now() + kPatience));
  *time = absl::Now() - begin;
  return absl::OkStatus();
}

absl::Status Measure(int fd, int32_t rank, const Way& way, FiguresOfBoth* figures) {
  BufferPool pool;
  std::vector<Buffer> buffers;
  for (int i = 0; i < kInFlight; ++i) {
    buffers.push_back(pool.Allocate(kLarge));
    std::memset(buffers.back().data(), rank, kLarge);
  }
  std::array<std::unique_ptr<Transport>, 2> transports;
  for (size_t i = 0; i < 2; ++i) {
    RALLY_ASSIGN_OR_RETURN(transports[i], Meet(fd, rank, way, /*checksums=*/i == 1));
  }
  std::array<std::vector<double>, 2> latencies, speeds;
  int64_t number = 0;
  for (int repeat = 0; repeat < kRepeats; ++repeat) {
    for (size_t i = 0; i < 2; ++i) {
      absl::Duration time;
      RALLY_RETURN_IF_ERROR(PingPong(*transports[i], &number, &time));
      latencies[i].push_back(absl::ToDoubleMicroseconds(time) / (2 * kRoundTrips));
      RALLY_RETURN_IF_ERROR(Stream(*transports[i], buffers, &number, &time));
      speeds[i].push_back(kLargeMessages * kLarge / absl::ToDoubleNanoseconds(time));
    }
  }
  for (size_t i = 0; i < 2; ++i) (*figures)[i] = {Median(latencies[i]), Median(speeds[i])};
  // Neither side leaves before the other has finished.
  return SwapAddress(fd, "done").status();
}

// What a byte costs at least: a copy of it, and its checksum.
void PrintFloor(std::ostream& out) {
  BufferPool pool;
  const Buffer from = pool.Allocate(kLarge), to = pool.Allocate(kLarge);
  std::memset(from.data(), 1, kLarge);
  std::memset(to.data(), 2, kLarge);
  std::vector<double> copies, checksums;
  uint32_t checksum = 0;
  for (int repeat = 0; repeat < kRepeats * kInFlight; ++repeat) {
    absl::Time begin = absl::Now();
    std::memcpy(to.data(), from.data(), kLarge);
    copies.push_back(kLarge / absl::ToDoubleNanoseconds(absl::Now() - begin));
    begin = absl::Now();
    checksum = Crc32c(to.bytes());
    checksums.push_back(kLarge / absl::ToDoubleNanoseconds(absl::Now() - begin));
  }
  out << absl::StreamFormat(
      "floor: one core copies %.1f GB/s, and computes CRC32C (%08x) of %.1f\n", Median(copies),
      checksum, Median(checksums));
}

}  // namespace

absl::Status RunTransportBench(std::ostream& out) {
  PrintFloor(out);
  for (const Way& way : kWays) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
      return absl::UnavailableError(absl::StrCat("socketpair: ", std::strerror(errno)));
    }
    pid_t child = fork();
    if (child < 0) return absl::UnavailableError(absl::StrCat("fork: ", std::strerror(errno)));
    FiguresOfBoth figures;
    if (child == 0) {
      close(ends[0]);
      _exit(Measure(ends[1], 1, way, &figures).ok() ? 0 : 1);
    }
    close(ends[1]);
    absl::Status status = Measure(ends[0], 0, way, &figures);
    close(ends[0]);
    waitpid(child, nullptr, 0);
    if (!status.ok()) return Annotate(status, way.name);
    for (size_t i = 0; i < 2; ++i) {
      out << absl::StreamFormat(
          "%-18s %-18s %6.1f us for %d bytes, %5.2f GB/s for %d MiB messages\n", way.name,
          i == 0 ? "without checksums" : "with checksums", figures[i].latency_us, kSmall,
          figures[i].gigabytes_per_second, kLarge >> 20);
    }
  }
  return absl::OkStatus();
}

}  // namespace rally::bench
