// Random: the one source of chance in a simulation: xoshiro256**, filled by splitmix64.
//
// Equal seeds give equal sequences on every machine. One thread.
#ifndef RALLY_TESTS_SIMULATION_RANDOM_H_
#define RALLY_TESTS_SIMULATION_RANDOM_H_

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

#include <absl/time/time.h>

namespace rally::simulation {

// One step of splitmix64: a good hash of a number.
inline uint64_t Mix(uint64_t value) {
  value += 0x9e3779b97f4a7c15u;
  value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9u;
  value = (value ^ (value >> 27)) * 0x94d049bb133111ebu;
  return value ^ (value >> 31);
}

class Random {
 public:
  explicit Random(uint64_t seed) {
    for (uint64_t& word : state_) word = seed = Mix(seed);
  }

  uint64_t Next() {
    const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
    const uint64_t shifted = state_[1] << 17;
    state_[2] ^= state_[0];
    state_[3] ^= state_[1];
    state_[1] ^= state_[2];
    state_[0] ^= state_[3];
    state_[2] ^= shifted;
    state_[3] = std::rotl(state_[3], 45);
    return result;
  }

  // In [0, bound); bound > 0.
  int64_t Below(int64_t bound) { return static_cast<int64_t>(Next() % bound); }
  // In [first, last].
  int64_t Between(int64_t first, int64_t last) { return first + Below(last - first + 1); }
  absl::Duration Between(absl::Duration first, absl::Duration last) {
    return first + absl::Microseconds(Below(absl::ToInt64Microseconds(last - first) + 1));
  }
  // In [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1p-53; }
  bool Chance(double probability) { return Unit() < probability; }
  // Of events that come at random, one every `mean`.
  absl::Duration Waiting(absl::Duration mean) {
    return absl::Microseconds(
        static_cast<int64_t>(-std::log(1.0 - Unit()) * absl::ToDoubleMicroseconds(mean)));
  }

 private:
  std::array<uint64_t, 4> state_;
};

}  // namespace rally::simulation

#endif  // RALLY_TESTS_SIMULATION_RANDOM_H_
