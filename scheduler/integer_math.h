// Integer arithmetic that planning shares: rounding, even parts, and numbers by counter.
//
// Pure functions; any thread.
#ifndef RALLY_SCHEDULER_INTEGER_MATH_H_
#define RALLY_SCHEDULER_INTEGER_MATH_H_

#include <cstdint>

namespace rally {

// The smallest multiple of `unit` that is at least `value`. Both at least 0, `unit` above 0.
inline int64_t RoundUp(int64_t value, int64_t unit) { return (value + unit - 1) / unit * unit; }

// Part `index` of `total` in `parts` parts that differ by one at most, larger ones first: so part
// `index` of less is never more than part `index` of more.
inline int64_t EvenPart(int64_t total, int64_t parts, int64_t index) {
  return total / parts + (index < total % parts ? 1 : 0);
}

// SplitMix64: its step, and its output function, a bijection of 64 bits that leaves no visible
// pattern. MixBits(seed + counter * kMixStep) is draw `counter` of a generator, the same
// everywhere.
inline constexpr uint64_t kMixStep = 0x9e3779b97f4a7c15;
inline uint64_t MixBits(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

}  // namespace rally

#endif  // RALLY_SCHEDULER_INTEGER_MATH_H_
