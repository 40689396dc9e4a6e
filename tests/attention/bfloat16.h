// Bfloat16 by hand, for tests: the slow, obvious form. Pure functions.
#ifndef RALLY_TESTS_ATTENTION_BFLOAT16_H_
#define RALLY_TESTS_ATTENTION_BFLOAT16_H_

#include <bit>
#include <cmath>
#include <cstdint>

namespace rally {

// To nearest, ties to even; what is no number stays so.
inline uint16_t ToBfloat16(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  if (std::isnan(x)) return static_cast<uint16_t>(bits >> 16 | 0x40);
  return static_cast<uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}

inline float FromBfloat16(uint16_t x) { return std::bit_cast<float>(uint32_t{x} << 16); }

}  // namespace rally

#endif  // RALLY_TESTS_ATTENTION_BFLOAT16_H_
