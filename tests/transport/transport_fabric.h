// The transports that the conformance suite runs on: each kind as a set of connected ranks.
#ifndef RALLY_TESTS_TRANSPORT_TRANSPORT_FABRIC_H_
#define RALLY_TESTS_TRANSPORT_TRANSPORT_FABRIC_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include <absl/time/time.h>

#include "workers/transport/transport.h"

namespace rally {

enum class Fabric { kInProcess, kDelayed, kUcxSharedMemory, kUcxUnchecked, kUcxAny, kUcxTcp };

inline constexpr Fabric kAllFabrics[] = {Fabric::kInProcess,       Fabric::kDelayed,
                                         Fabric::kUcxSharedMemory, Fabric::kUcxUnchecked,
                                         Fabric::kUcxAny,          Fabric::kUcxTcp};

// What the ranks of a fabric alone know.
inline constexpr char kTestSecret[] = "a secret of 28 bytes, or so.";

std::string FabricName(Fabric fabric);
inline void PrintTo(Fabric fabric, std::ostream* out) { *out << FabricName(fabric); }

// Ranks 0 to ranks - 1, connected; failures end the program.
std::vector<std::unique_ptr<Transport>> MakeFabric(Fabric fabric, int32_t ranks);

// Far enough that a test that reaches it has failed, near enough to see the failure.
absl::Time Patience();

// `size` bytes that differ by seed and position.
std::vector<std::byte> Pattern(size_t size, uint64_t seed);

// A tag from `source` that `number` makes unique.
Tag NumberedTag(int32_t source, int64_t number);

}  // namespace rally

#endif  // RALLY_TESTS_TRANSPORT_TRANSPORT_FABRIC_H_
