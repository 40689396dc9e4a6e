#include "workers/transport/crc32c.h"

#include <cstring>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/transport/transport_fabric.h"

namespace rally {
namespace {

using Bytes = std::vector<std::byte>;

Bytes ToBytes(const std::string& text) {
  Bytes bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  return bytes;
}

// Bit by bit, as the definition has it.
uint32_t Reference(absl::Span<const std::byte> bytes) {
  uint32_t crc = ~uint32_t{0};
  for (std::byte byte : bytes) {
    crc ^= static_cast<uint32_t>(byte);
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82F63B78u : 0);
  }
  return ~crc;
}

TEST(Crc32c, KnownAnswers) {
  Bytes rising(32), falling(32);
  for (int i = 0; i < 32; ++i) rising[i] = falling[31 - i] = std::byte(i);
  const std::pair<Bytes, uint32_t> kAnswers[] = {
      {ToBytes(""), 0},
      {ToBytes("a"), 0xC1D04330u},
      {ToBytes("123456789"), 0xE3069283u},
      // RFC 3720, B.4.
      {Bytes(32, std::byte{0}), 0x8A9136AAu},
      {Bytes(32, std::byte{0xFF}), 0x62A8AB43u},
      {rising, 0x46DD794Eu},
      {falling, 0x113FDB5Cu},
  };
  for (const auto& [bytes, answer] : kAnswers) {
    EXPECT_EQ(Crc32c(bytes), answer);
    EXPECT_EQ(Crc32cPortable(bytes), answer);
    EXPECT_EQ(Reference(bytes), answer);
  }
}

TEST(Crc32c, EverySizeAndAlignment) {
  const Bytes bytes = Pattern(3 * 8192 * 2 + 3 * 256 * 2 + 100, 1);
  std::vector<size_t> sizes;
  for (size_t size = 0; size < 70; ++size) sizes.push_back(size);
  for (size_t edge : {768, 1536, 24576, 25344, 49152}) {
    for (size_t around = edge - 9; around < edge + 10; ++around) sizes.push_back(around);
  }
  for (size_t size : sizes) {
    for (size_t offset : {0, 1, 7}) {
      absl::Span<const std::byte> part = absl::MakeSpan(bytes).subspan(offset, size);
      const uint32_t expected = Reference(part);
      EXPECT_EQ(Crc32c(part), expected) << size << " bytes from " << offset;
      EXPECT_EQ(Crc32cPortable(part), expected) << size << " bytes from " << offset;
    }
  }
}

TEST(Crc32c, SeesEveryFlippedBit) {
  Bytes bytes = Pattern(30000, 2);
  const uint32_t intact = Crc32c(bytes);
  for (size_t bit = 0; bit < 8 * bytes.size(); bit += 997) {
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
    EXPECT_NE(Crc32c(bytes), intact) << "bit " << bit;
    bytes[bit / 8] ^= std::byte(1 << bit % 8);
  }
}

}  // namespace
}  // namespace rally
