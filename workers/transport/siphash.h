// SipHash-2-4: a keyed 64-bit function that nobody can predict without the key (Aumasson and
// Bernstein, "SipHash: a fast short-input PRF", 2012). Made for short inputs.
//
// Pure functions, any thread.
#ifndef RALLY_WORKERS_TRANSPORT_SIPHASH_H_
#define RALLY_WORKERS_TRANSPORT_SIPHASH_H_

#include <cstddef>
#include <cstdint>

#include <absl/types/span.h>

namespace rally {

// The key's bytes, eight each, least significant first.
struct SipKey {
  uint64_t low = 0;
  uint64_t high = 0;
};

uint64_t SipHash(const SipKey& key, absl::Span<const std::byte> bytes);

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_SIPHASH_H_
