#include "workers/transport/siphash.h"

#include <bit>

namespace rally {
namespace {

constexpr size_t kBlock = sizeof(uint64_t);

// Bytes are taken least significant first, whatever the machine.
uint64_t LoadWord(const std::byte* data, size_t size) {
  uint64_t word = 0;
  for (size_t i = 0; i < size; ++i) word |= static_cast<uint64_t>(data[i]) << (8 * i);
  return word;
}

class SipState {
 public:
  explicit SipState(const SipKey& key)
      : v0_(key.low ^ 0x736f6d6570736575u),
        v1_(key.high ^ 0x646f72616e646f6du),
        v2_(key.low ^ 0x6c7967656e657261u),
        v3_(key.high ^ 0x7465646279746573u) {}

  void Take(uint64_t word) {
    v3_ ^= word;
    Rounds(2);
    v0_ ^= word;
  }

  uint64_t Finish() {
    v2_ ^= 0xFF;
    Rounds(4);
    return v0_ ^ v1_ ^ v2_ ^ v3_;
  }

 private:
  void Rounds(int count) {
    for (; count > 0; --count) {
      v0_ += v1_;
      v2_ += v3_;
      v1_ = std::rotl(v1_, 13) ^ v0_;
      v3_ = std::rotl(v3_, 16) ^ v2_;
      v0_ = std::rotl(v0_, 32);
      v2_ += v1_;
      v0_ += v3_;
      v1_ = std::rotl(v1_, 17) ^ v2_;
      v3_ = std::rotl(v3_, 21) ^ v0_;
      v2_ = std::rotl(v2_, 32);
    }
  }

  uint64_t v0_, v1_, v2_, v3_;
};

}  // namespace

uint64_t SipHash(const SipKey& key, absl::Span<const std::byte> bytes) {
  SipState state(key);
  size_t whole = bytes.size() - bytes.size() % kBlock;
  for (size_t i = 0; i < whole; i += kBlock) state.Take(LoadWord(&bytes[i], kBlock));
  uint64_t rest = LoadWord(bytes.data() + whole, bytes.size() - whole);
  state.Take(rest | static_cast<uint64_t>(bytes.size()) << 56);
  return state.Finish();
}

}  // namespace rally
