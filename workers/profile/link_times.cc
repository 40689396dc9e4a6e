#include "workers/profile/link_times.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/median.h"
#include "common/status_macros.h"
#include "workers/model/collective.h"
#include "workers/profile/forked_process.h"
#include "workers/transport/buffer.h"
#include "workers/transport/in_process_transport.h"
#include "workers/transport/ucx_transport.h"

namespace rally {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);
constexpr char kHost[] = "127.0.0.1";

// More bytes take no less, whatever noise says: the slower neighbour's time holds for both.
Profile::Times Rising(Profile::Times times) {
  double most = 0.0;
  for (auto& [bytes, seconds] : times) seconds = most = std::max(most, seconds);
  return times;
}

Buffer Touched(BufferPool* pool, size_t bytes) {
  Buffer buffer = pool->Allocate(bytes);
  std::memset(buffer.data(), 1, bytes);
  return buffer;
}

// One message to each side of a pair of ranks, the second when the first is there.
absl::Status ThereAndBack(Transport* transport, int64_t number, absl::Span<std::byte> out,
                          absl::Span<std::byte> in) {
  const int32_t self = transport->rank();
  const int32_t peer = 1 - self;
  const auto deadline = [] { return absl::Now() + kPatience; };
  const Transfer receive = transport->Receive(peer, Tag{.round = number, .source = peer}, in);
  if (self == 1) RALLY_RETURN_IF_ERROR(transport->Wait({receive}, deadline()));
  const Transfer send = transport->Send(peer, Tag{.round = number, .source = self}, out);
  return transport->Wait({send, receive}, deadline());
}

absl::StatusOr<std::unique_ptr<Transport>> OpenPair(int fd, int rank) {
  UcxOptions options;
  options.rank = rank;
  options.ranks = 2;
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<Transport> transport, MakeUcxTransport(options));
  std::array<std::string, 2> addresses;
  addresses[rank] = transport->address();
  RALLY_ASSIGN_OR_RETURN(addresses[1 - rank], SwapText(fd, addresses[rank]));
  RALLY_RETURN_IF_ERROR(transport->Connect(addresses, ""));
  return transport;
}

absl::StatusOr<std::unique_ptr<Collective>> OpenCollective(int fd, int rank) {
  std::unique_ptr<Rendezvous> rendezvous;
  std::string endpoint;
  if (rank == 0) {
    RALLY_ASSIGN_OR_RETURN(rendezvous, MakeRendezvous(kHost));
    endpoint = rendezvous->endpoint();
  }
  RALLY_ASSIGN_OR_RETURN(const std::string swapped, SwapText(fd, endpoint));
  return MakeCollective(rank, 2, rank == 0 ? endpoint : swapped, kPatience);
}

// Times calls that both ranks make together: rank 0 times as TimeCall does and says before each
// call whether there is another one.
absl::StatusOr<double> TimeTogether(int fd, int rank, const TimingEffort& effort,
                                    const std::function<absl::Status()>& call) {
  if (rank == 0) {
    // One sample is one block of calls, agreed on in advance.
    RALLY_RETURN_IF_ERROR(call());
    const absl::Time start = absl::Now();
    RALLY_RETURN_IF_ERROR(call());
    const double once = std::max(1e-9, absl::ToDoubleSeconds(absl::Now() - start));
    const int calls = std::clamp(static_cast<int>(effort.sample_seconds / once), 1, 1000);
    RALLY_RETURN_IF_ERROR(SwapText(fd, std::to_string(calls)).status());
    std::vector<double> samples;
    for (int i = 0; i < effort.samples; ++i) {
      const absl::Time begin = absl::Now();
      for (int j = 0; j < calls; ++j) RALLY_RETURN_IF_ERROR(call());
      samples.push_back(absl::ToDoubleSeconds(absl::Now() - begin) / calls);
    }
    return Median(std::move(samples));
  }
  for (int i = 0; i < 2; ++i) RALLY_RETURN_IF_ERROR(call());
  RALLY_ASSIGN_OR_RETURN(const std::string text, SwapText(fd, ""));
  int calls = 0;
  if (!absl::SimpleAtoi(text, &calls)) {
    return absl::InternalError(absl::StrCat("the other process sent \"", text, "\""));
  }
  for (int i = 0; i < effort.samples * calls; ++i) RALLY_RETURN_IF_ERROR(call());
  return 0.0;
}

absl::StatusOr<Profile::Times> MeasureTransfers(int fd, int rank, const LinkEffort& effort) {
  BufferPool pool;
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<Transport> transport, OpenPair(fd, rank));
  Profile::Times times;
  int64_t number = 0;
  for (const size_t bytes : effort.bytes) {
    const Buffer out = Touched(&pool, bytes);
    const Buffer in = Touched(&pool, bytes);
    RALLY_ASSIGN_OR_RETURN(const double seconds, TimeTogether(fd, rank, effort.timing, [&] {
                             return ThereAndBack(transport.get(), number++, out.bytes(),
                                                 in.bytes());
                           }));
    times[static_cast<double>(bytes)] = seconds / 2.0;
  }
  // Neither side leaves before the other has finished.
  RALLY_RETURN_IF_ERROR(SwapText(fd, "done").status());
  return times;
}

absl::StatusOr<Profile::Cost> MeasureReduction(int fd, int rank, const LinkEffort& effort) {
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<Collective> collective, OpenCollective(fd, rank));
  std::vector<double> seconds;
  for (const size_t floats : effort.reduce_floats) {
    std::vector<float> values(floats, 1.0f);
    RALLY_ASSIGN_OR_RETURN(seconds.emplace_back(), TimeTogether(fd, rank, effort.timing, [&] {
                             return collective->AllReduceSum(absl::MakeSpan(values));
                           }));
  }
  RALLY_RETURN_IF_ERROR(SwapText(fd, "done").status());
  const auto few = static_cast<double>(effort.reduce_floats.front());
  const auto many = static_cast<double>(effort.reduce_floats.back());
  const double each = std::max(0.0, seconds.back() - seconds.front()) / (many - few);
  return Profile::Cost{std::max(0.0, seconds.front() - few * each), each};
}

}  // namespace

absl::StatusOr<Profile::Times> MeasureWithinProcess(const LinkEffort& effort) {
  BufferPool pool;
  const std::unique_ptr<Transport> transport = std::move(MakeInProcessTransports(1)[0]);
  RALLY_RETURN_IF_ERROR(transport->Connect({transport->address()}, ""));
  Profile::Times times;
  int64_t number = 0;
  for (const size_t bytes : effort.bytes) {
    const Buffer out = Touched(&pool, bytes);
    const Buffer in = Touched(&pool, bytes);
    RALLY_ASSIGN_OR_RETURN(times[static_cast<double>(bytes)], TimeCall(effort.timing, [&] {
                             const Tag tag{.round = number++};
                             const Transfer receive = transport->Receive(0, tag, in.bytes());
                             const Transfer send = transport->Send(0, tag, out.bytes());
                             return transport->Wait({receive, send}, absl::Now() + kPatience);
                           }));
  }
  return Rising(std::move(times));
}

absl::StatusOr<PeerTimes> MeasureWithPeer(int fd, int rank, const LinkEffort& effort) {
  PeerTimes times;
  RALLY_ASSIGN_OR_RETURN(times.transfer, MeasureTransfers(fd, rank, effort));
  times.transfer = Rising(std::move(times.transfer));
  RALLY_ASSIGN_OR_RETURN(times.reduce, MeasureReduction(fd, rank, effort));
  return times;
}

}  // namespace rally
