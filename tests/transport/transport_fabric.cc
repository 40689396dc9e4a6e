#include "tests/transport/transport_fabric.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <absl/time/clock.h>

#include "common/check.h"
#include "workers/transport/delayed_transport.h"
#include "workers/transport/in_process_transport.h"
#include "workers/transport/ucx_transport.h"

namespace rally {
namespace {

constexpr absl::Duration kDelay = absl::Milliseconds(2);

std::vector<std::unique_ptr<Transport>> MakeUcxFabric(int32_t ranks, const std::string& transports,
                                                      bool checksums = true) {
  std::vector<std::unique_ptr<Transport>> fabric;
  std::vector<std::string> addresses;
  for (int32_t rank = 0; rank < ranks; ++rank) {
    UcxOptions options;
    options.rank = rank;
    options.ranks = ranks;
    options.transports = transports;
    options.checksums = checksums;
    auto transport = MakeUcxTransport(options);
    RALLY_CHECK(transport.ok(), transport.status().ToString());
    addresses.push_back((*transport)->address());
    fabric.push_back(*std::move(transport));
  }
  for (const auto& transport : fabric) {
    absl::Status connected = transport->Connect(addresses, kTestSecret);
    RALLY_CHECK(connected.ok(), connected.ToString());
  }
  return fabric;
}

}  // namespace

std::string FabricName(Fabric fabric) {
  switch (fabric) {
    case Fabric::kInProcess:
      return "InProcess";
    case Fabric::kDelayed:
      return "Delayed";
    case Fabric::kUcxSharedMemory:
      return "UcxSharedMemory";
    case Fabric::kUcxUnchecked:
      return "UcxUnchecked";
    case Fabric::kUcxAny:
      return "UcxAny";
    case Fabric::kUcxTcp:
      return "UcxTcp";
  }
  return "?";
}

std::vector<std::unique_ptr<Transport>> MakeFabric(Fabric fabric, int32_t ranks) {
  switch (fabric) {
    case Fabric::kUcxSharedMemory:
      return MakeUcxFabric(ranks, UcxOptions().transports);
    case Fabric::kUcxUnchecked:
      return MakeUcxFabric(ranks, UcxOptions().transports, /*checksums=*/false);
    case Fabric::kUcxAny:
      return MakeUcxFabric(ranks, kUcxAnyTransport);
    case Fabric::kUcxTcp:
      return MakeUcxFabric(ranks, "tcp,self");
    case Fabric::kInProcess:
      return MakeInProcessTransports(ranks);
    case Fabric::kDelayed:
      break;
  }
  std::vector<std::unique_ptr<Transport>> delayed = MakeInProcessTransports(ranks);
  for (auto& transport : delayed) {
    transport = MakeDelayedTransport(std::move(transport), kDelay);
  }
  return delayed;
}

absl::Time Patience() { return absl::Now() + absl::Seconds(60); }

std::vector<std::byte> Pattern(size_t size, uint64_t seed) {
  std::vector<std::byte> bytes(size);
  uint64_t state = seed * 0x9E3779B97F4A7C15u + 1;
  for (size_t offset = 0; offset < size; offset += sizeof(state)) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::memcpy(&bytes[offset], &state, std::min(sizeof(state), size - offset));
  }
  return bytes;
}

Tag NumberedTag(int32_t source, int64_t number) {
  Tag tag;
  tag.round = number;
  tag.source = source;
  return tag;
}

}  // namespace rally
