#include "workers/transport/frame.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

#include "workers/transport/little_endian.h"

namespace rally {
namespace {

constexpr std::byte kMagic[] = {std::byte{'R'}, std::byte{'F'}};
constexpr uint8_t kVersion = 1;
constexpr uint8_t kHasChecksum = 1;
constexpr size_t kAuthenticatorOffset = 24;

// What a wire tag names, and what a key is for.
enum class Part : uint32_t { kHead = 0, kBody = 1 };
enum class KeyUse : uint64_t { kTags = 1, kHeaders = 2 };

SipKey ReadKey(const std::byte* bytes) {
  return {LoadLittleEndian<uint64_t>(bytes), LoadLittleEndian<uint64_t>(bytes + 8)};
}

// `transcript` begins with 16 bytes to be overwritten.
SipKey DeriveKey(const SipKey& root, KeyUse use, std::vector<std::byte>* transcript) {
  StoreLittleEndian(static_cast<uint64_t>(use), transcript->data());
  std::array<std::byte, 16> key;
  for (uint64_t half = 0; half < 2; ++half) {
    StoreLittleEndian(half, transcript->data() + 8);
    StoreLittleEndian(SipHash(root, *transcript), &key[8 * half]);
  }
  return ReadKey(key.data());
}

void Append(absl::string_view text, std::vector<std::byte>* bytes) {
  std::byte size[8];
  StoreLittleEndian(static_cast<uint64_t>(text.size()), size);
  bytes->insert(bytes->end(), std::begin(size), std::end(size));
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  bytes->insert(bytes->end(), begin, begin + text.size());
}

uint64_t WireTag(const SipKey& key, const Tag& tag, int32_t receiver, Part part) {
  std::array<std::byte, 16> bytes;
  StoreLittleEndian(tag.Encode(), bytes.data());
  StoreLittleEndian(static_cast<uint32_t>(receiver), &bytes[8]);
  StoreLittleEndian(static_cast<uint32_t>(part), &bytes[12]);
  return SipHash(key, bytes);
}

}  // namespace

void WriteFrameHeader(const FrameHeader& header, std::byte* to) {
  std::copy(std::begin(kMagic), std::end(kMagic), to);
  to[2] = std::byte{kVersion};
  to[3] = std::byte{header.has_checksum ? kHasChecksum : uint8_t{0}};
  StoreLittleEndian(header.checksum, to + 4);
  StoreLittleEndian(header.size, to + 8);
  StoreLittleEndian(header.sequence, to + 16);
  StoreLittleEndian(header.authenticator, to + kAuthenticatorOffset);
}

absl::StatusOr<FrameHeader> ParseFrameHeader(absl::Span<const std::byte> head) {
  const auto refuse = [](absl::string_view field, uint64_t value, absl::string_view accepted) {
    return absl::InvalidArgumentError(
        absl::StrCat("frame header: ", field, " is ", value, ", not ", accepted));
  };
  if (head.size() < kFrameHeaderBytes) return refuse("size", head.size(), "at least 32 bytes");
  if (!std::equal(std::begin(kMagic), std::end(kMagic), head.begin())) {
    return refuse("magic", LoadLittleEndian<uint16_t>(head.data()), "\"RF\"");
  }
  const auto version = static_cast<uint8_t>(head[2]);
  if (version != kVersion) return refuse("version", version, "1");
  const auto flags = static_cast<uint8_t>(head[3]);
  if ((flags & ~kHasChecksum) != 0) return refuse("flags", flags, "0 or 1");
  FrameHeader header;
  header.has_checksum = (flags & kHasChecksum) != 0;
  header.checksum = LoadLittleEndian<uint32_t>(&head[4]);
  if (!header.has_checksum && header.checksum != 0) {
    return refuse("checksum", header.checksum, "0, as its flag says");
  }
  header.size = LoadLittleEndian<uint64_t>(&head[8]);
  if (header.size > kLargestPayload) return refuse("payload", header.size, "at most 2^48 bytes");
  header.sequence = LoadLittleEndian<uint64_t>(&head[16]);
  if (header.sequence == 0) return refuse("sequence", 0, "at least 1");
  header.authenticator = LoadLittleEndian<uint64_t>(&head[kAuthenticatorOffset]);
  return header;
}

FrameKeys::FrameKeys(absl::string_view secret, absl::Span<const std::string> addresses) {
  // The secret's first bytes are the key of all keys; the rest counts like the addresses.
  std::array<std::byte, 16> first = {};
  if (!secret.empty())
    std::memcpy(first.data(), secret.data(), std::min(secret.size(), first.size()));
  const SipKey root = ReadKey(first.data());
  std::vector<std::byte> transcript(16);
  Append(secret, &transcript);
  for (const std::string& address : addresses) Append(address, &transcript);
  tags_ = DeriveKey(root, KeyUse::kTags, &transcript);
  headers_ = DeriveKey(root, KeyUse::kHeaders, &transcript);
}

uint64_t FrameKeys::HeadTag(const Tag& tag, int32_t receiver) const {
  return WireTag(tags_, tag, receiver, Part::kHead);
}

uint64_t FrameKeys::BodyTag(const Tag& tag, int32_t receiver) const {
  return WireTag(tags_, tag, receiver, Part::kBody);
}

uint64_t FrameKeys::Authenticate(const FrameHeader& header, const Tag& tag,
                                 int32_t receiver) const {
  std::array<std::byte, kFrameHeaderBytes + 12> bytes;
  WriteFrameHeader(header, bytes.data());
  StoreLittleEndian(tag.Encode(), &bytes[kAuthenticatorOffset]);
  StoreLittleEndian(static_cast<uint32_t>(receiver), &bytes[kAuthenticatorOffset + 8]);
  return SipHash(headers_, absl::MakeConstSpan(bytes.data(), kAuthenticatorOffset + 12));
}

}  // namespace rally
