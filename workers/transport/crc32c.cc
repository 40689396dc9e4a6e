#include "workers/transport/crc32c.h"

#include <array>
#include <cstring>

#if defined(__x86_64__)
#include <nmmintrin.h>

#include "common/cpu_features.h"
#endif

namespace rally {
namespace {

constexpr uint32_t kPolynomial = 0x82F63B78u;  // Reflected: the highest bit is the constant term.
constexpr size_t kWord = sizeof(uint64_t);

using Table = std::array<uint32_t, 256>;

// [k][b]: what byte `b` becomes after k more bytes of zeros.
constexpr std::array<Table, kWord> MakeByteTables() {
  std::array<Table, kWord> tables = {};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < kWord; ++k) {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xFF];
    }
  }
  return tables;
}
constexpr std::array<Table, kWord> kByteTables = MakeByteTables();

uint64_t LoadWord(const std::byte* data) {
  uint64_t word = 0;
  std::memcpy(&word, data, kWord);
  return word;
}

uint32_t ExtendByTables(uint32_t crc, const std::byte* data, size_t size) {
  for (; size >= kWord; data += kWord, size -= kWord) {
    uint32_t next = 0;
    for (size_t k = 0; k < kWord; ++k) {
      uint32_t byte = static_cast<uint32_t>(data[k]) ^ (k < 4 ? crc >> (8 * k) & 0xFF : 0);
      next ^= kByteTables[kWord - 1 - k][byte];
    }
    crc = next;
  }
  for (; size > 0; ++data, --size) {
    crc = (crc >> 8) ^ kByteTables[0][(crc ^ static_cast<uint32_t>(*data)) & 0xFF];
  }
  return crc;
}

#if defined(__x86_64__)

// The instruction takes three cycles, and one can begin in each: so three streams at a time, whose
// remainders are joined by a shift over the bytes of a stream.
constexpr size_t kLongStream = 8192;
constexpr size_t kShortStream = 256;

// The product of two polynomials, modulo kPolynomial.
constexpr uint32_t Multiply(uint32_t a, uint32_t b) {
  uint32_t product = 0;
  for (uint32_t term = uint32_t{1} << 31; term != 0; term >>= 1) {
    if ((a & term) != 0) product ^= b;
    b = (b >> 1) ^ ((b & 1) != 0 ? kPolynomial : 0);
  }
  return product;
}

// [k][b]: what byte k of a remainder, when it is `b`, becomes after `bytes` of zeros.
constexpr std::array<Table, 4> MakeShiftTables(size_t bytes) {
  uint32_t shift = uint32_t{1} << 31;   // x to the power of 0.
  uint32_t square = uint32_t{1} << 30;  // x.
  for (size_t bits = 8 * bytes; bits != 0; bits >>= 1) {
    if ((bits & 1) != 0) shift = Multiply(shift, square);
    square = Multiply(square, square);
  }
  std::array<Table, 4> tables = {};
  for (uint32_t k = 0; k < 4; ++k) {
    for (uint32_t byte = 0; byte < 256; ++byte) tables[k][byte] = Multiply(shift, byte << (8 * k));
  }
  return tables;
}
constexpr std::array<Table, 4> kLongShift = MakeShiftTables(kLongStream);
constexpr std::array<Table, 4> kShortShift = MakeShiftTables(kShortStream);

uint64_t Shift(const std::array<Table, 4>& tables, uint64_t crc) {
  return tables[0][crc & 0xFF] ^ tables[1][crc >> 8 & 0xFF] ^ tables[2][crc >> 16 & 0xFF] ^
         tables[3][crc >> 24 & 0xFF];
}

template <size_t kStream>
__attribute__((target("sse4.2"))) uint64_t ExtendByStreams(const std::array<Table, 4>& shift,
                                                           uint64_t crc, const std::byte** data,
                                                           size_t* size) {
  for (; *size >= 3 * kStream; *data += 3 * kStream, *size -= 3 * kStream) {
    const std::byte* from = *data;
    uint64_t second = 0;
    uint64_t third = 0;
    for (size_t i = 0; i < kStream; i += kWord) {
      crc = _mm_crc32_u64(crc, LoadWord(from + i));
      second = _mm_crc32_u64(second, LoadWord(from + i + kStream));
      third = _mm_crc32_u64(third, LoadWord(from + i + 2 * kStream));
    }
    crc = Shift(shift, Shift(shift, crc) ^ second) ^ third;
  }
  return crc;
}

__attribute__((target("sse4.2"))) uint32_t ExtendByInstruction(uint32_t crc, const std::byte* data,
                                                               size_t size) {
  uint64_t wide = ExtendByStreams<kLongStream>(kLongShift, crc, &data, &size);
  wide = ExtendByStreams<kShortStream>(kShortShift, wide, &data, &size);
  for (; size >= kWord; data += kWord, size -= kWord) wide = _mm_crc32_u64(wide, LoadWord(data));
  auto narrow = static_cast<uint32_t>(wide);
  for (; size > 0; ++data, --size) {
    narrow = _mm_crc32_u8(narrow, static_cast<unsigned char>(*data));
  }
  return narrow;
}

#endif  // defined(__x86_64__)

using Extend = uint32_t (*)(uint32_t crc, const std::byte* data, size_t size);

Extend BestExtend() {
#if defined(__x86_64__)
  if (GetCpuFeatures().sse42) return &ExtendByInstruction;
#endif
  return &ExtendByTables;
}

}  // namespace

uint32_t Crc32c(absl::Span<const std::byte> bytes) {
  static const Extend extend = BestExtend();
  return ~extend(~uint32_t{0}, bytes.data(), bytes.size());
}

uint32_t Crc32cPortable(absl::Span<const std::byte> bytes) {
  return ~ExtendByTables(~uint32_t{0}, bytes.data(), bytes.size());
}

}  // namespace rally
