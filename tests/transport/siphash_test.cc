#include "workers/transport/siphash.h"

#include <vector>

#include <gtest/gtest.h>

namespace rally {
namespace {

constexpr SipKey kKey = {0x0706050403020100u, 0x0f0e0d0c0b0a0908u};

std::vector<std::byte> Counting(size_t size) {
  std::vector<std::byte> bytes(size);
  for (size_t i = 0; i < size; ++i) bytes[i] = std::byte(i);
  return bytes;
}

// The authors' vectors: key 00 01 ... 0f, input 00 01 ... of each length.
TEST(SipHash, PublishedVectors) {
  const uint64_t kVectors[] = {
      0x726fdb47dd0e0e31u, 0x74f839c593dc67fdu, 0x0d6c8009d9a94f5au, 0x85676696d7fb7e2du,
      0xcf2794e0277187b7u, 0x18765564cd99a68du, 0xcbc9466e58fee3ceu, 0xab0200f58b01d137u,
      0x93f5f5799a932462u, 0x9e0082df0ba9e4b0u, 0x7a5dbbc594ddb9f3u, 0xf4b32f46226bada7u,
      0x751e8fbc860ee5fbu, 0x14ea5627c0843d90u, 0xf723ca908e7af2eeu, 0xa129ca6149be45e5u,
      0x3f2acc7f57c29bdbu,
  };
  for (size_t size = 0; size < std::size(kVectors); ++size) {
    EXPECT_EQ(SipHash(kKey, Counting(size)), kVectors[size]) << size << " bytes";
  }
}

TEST(SipHash, EveryBitOfTheKeyMatters) {
  const std::vector<std::byte> bytes = Counting(40);
  const uint64_t hash = SipHash(kKey, bytes);
  for (int bit = 0; bit < 64; ++bit) {
    EXPECT_NE(SipHash({kKey.low ^ uint64_t{1} << bit, kKey.high}, bytes), hash);
    EXPECT_NE(SipHash({kKey.low, kKey.high ^ uint64_t{1} << bit}, bytes), hash);
  }
}

}  // namespace
}  // namespace rally
