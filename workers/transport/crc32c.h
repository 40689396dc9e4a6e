// Crc32c: the 32-bit cyclic redundancy check of iSCSI and ext4 (Castagnoli's polynomial
// 0x1EDC6F41, bits reflected, initial value and result inverted).
//
// Finds every error of up to 32 bits in a row and all but one in 2^32 of the others; no protection
// from somebody who changes bytes on purpose. Pure functions, any thread.
#ifndef RALLY_WORKERS_TRANSPORT_CRC32C_H_
#define RALLY_WORKERS_TRANSPORT_CRC32C_H_

#include <cstddef>
#include <cstdint>

#include <absl/types/span.h>

namespace rally {

// By the CPU's own instruction where it has one: at the speed of memory.
uint32_t Crc32c(absl::Span<const std::byte> bytes);

// The same from tables, for CPUs without: some 3 GB/s.
uint32_t Crc32cPortable(absl::Span<const std::byte> bytes);

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_CRC32C_H_
