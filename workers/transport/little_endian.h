// Integers in wire formats: least significant byte first, whatever the machine. Any thread.
#ifndef RALLY_WORKERS_TRANSPORT_LITTLE_ENDIAN_H_
#define RALLY_WORKERS_TRANSPORT_LITTLE_ENDIAN_H_

#include <cstddef>

namespace rally {

// `Integer` is unsigned; sizeof(Integer) bytes are written or read.
template <typename Integer>
void StoreLittleEndian(Integer value, std::byte* to) {
  for (size_t i = 0; i < sizeof(Integer); ++i) to[i] = std::byte((value >> (8 * i)) & 0xFF);
}

template <typename Integer>
Integer LoadLittleEndian(const std::byte* from) {
  Integer value = 0;
  for (size_t i = 0; i < sizeof(Integer); ++i) value |= static_cast<Integer>(from[i]) << (8 * i);
  return value;
}

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_LITTLE_ENDIAN_H_
