#include "workers/transport/frame.h"

#include <set>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/transport/transport_fabric.h"

namespace rally {
namespace {

using testing::HasSubstr;

using Bytes = std::vector<std::byte>;

constexpr FrameHeader kHeader = {.has_checksum = true,
                                 .checksum = 0x01020304,
                                 .size = 0x0A0B0C0D0E,
                                 .sequence = 0x1112131415161718,
                                 .authenticator = 0x2122232425262728};

Bytes Written(const FrameHeader& header) {
  Bytes bytes(kFrameHeaderBytes);
  WriteFrameHeader(header, bytes.data());
  return bytes;
}

TEST(FrameHeader, LiesAsSpecified) {
  const uint8_t kLayout[] = {'R',  'F',  1,    1,    0x04, 0x03, 0x02, 0x01, 0x0E, 0x0D, 0x0C,
                             0x0B, 0x0A, 0,    0,    0,    0x18, 0x17, 0x16, 0x15, 0x14, 0x13,
                             0x12, 0x11, 0x28, 0x27, 0x26, 0x25, 0x24, 0x23, 0x22, 0x21};
  const Bytes bytes = Written(kHeader);
  for (size_t i = 0; i < bytes.size(); ++i) EXPECT_EQ(bytes[i], std::byte{kLayout[i]}) << i;
}

TEST(FrameHeader, ReadsWhatItWrote) {
  Bytes bytes = Written(kHeader);
  bytes.resize(100);  // A payload follows.
  absl::StatusOr<FrameHeader> header = ParseFrameHeader(bytes);
  ASSERT_TRUE(header.ok()) << header.status();
  EXPECT_EQ(Written(*header), Written(kHeader));
  EXPECT_TRUE(header->has_body());
  EXPECT_EQ(header->head_size(), kFrameHeaderBytes);
  EXPECT_EQ((FrameHeader{.size = 10}).head_size(), kFrameHeaderBytes + 10);
  EXPECT_EQ((FrameHeader{.size = kMostInline}).head_size(), kLongestHead);
  EXPECT_EQ((FrameHeader{.size = kMostInline + 1}).head_size(), kFrameHeaderBytes);
}

TEST(FrameHeader, RefusesEverythingElse) {
  struct Case {
    size_t offset;
    uint8_t value;
    const char* field;
  };
  for (const Case& bad :
       {Case{0, 'r', "magic"}, Case{2, 2, "version"}, Case{2, 0, "version"}, Case{3, 3, "flags"},
        Case{3, 0x81, "flags"}, Case{3, 0, "checksum"}, Case{15, 1, "payload"}}) {
    Bytes bytes = Written(kHeader);
    bytes[bad.offset] = std::byte{bad.value};
    const absl::Status status = ParseFrameHeader(bytes).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad.offset;
    EXPECT_THAT(std::string(status.message()), HasSubstr(bad.field));
  }
  FrameHeader uncounted = kHeader;
  uncounted.sequence = 0;
  EXPECT_THAT(std::string(ParseFrameHeader(Written(uncounted)).status().message()),
              HasSubstr("sequence"));
  for (size_t size = 0; size < kFrameHeaderBytes; ++size) {
    const Bytes bytes = Written(kHeader);
    EXPECT_FALSE(ParseFrameHeader(absl::MakeSpan(bytes).first(size)).ok()) << size;
  }
}

// Nothing that a header says, nor whose it is, can be changed without the keys.
TEST(FrameKeys, AuthenticateEverything) {
  const std::string addresses[] = {"one", "two"};
  const FrameKeys keys(kTestSecret, addresses);
  const Tag tag = NumberedTag(1, 5);
  const uint64_t expected = keys.Authenticate(kHeader, tag, 0);
  EXPECT_EQ(keys.Authenticate(kHeader, tag, 0), expected);
  EXPECT_NE(keys.Authenticate(kHeader, tag, 2), expected);
  EXPECT_NE(keys.Authenticate(kHeader, NumberedTag(1, 6), 0), expected);
  FrameHeader moved = kHeader;
  moved.authenticator = 0;
  EXPECT_EQ(keys.Authenticate(moved, tag, 0), expected) << "but for the authenticator itself";
  for (int field = 0; field < 4; ++field) {
    FrameHeader changed = kHeader;
    if (field == 0) changed.has_checksum = false;
    if (field == 1) ++changed.checksum;
    if (field == 2) ++changed.size;
    if (field == 3) ++changed.sequence;
    EXPECT_NE(keys.Authenticate(changed, tag, 0), expected) << field;
  }
}

TEST(FrameKeys, FollowFromSecretAndAddressesAlone) {
  const std::string addresses[] = {"one", "two"}, swapped[] = {"two", "one"},
                    joined[] = {"onet", "wo"};
  const std::string secret = kTestSecret, longer = secret + "!", other = "?" + secret;
  const Tag tag = NumberedTag(0, 1);
  const FrameKeys keys(secret, addresses), same(secret, addresses);
  EXPECT_EQ(keys.HeadTag(tag, 1), same.HeadTag(tag, 1));
  EXPECT_EQ(keys.Authenticate(kHeader, tag, 1), same.Authenticate(kHeader, tag, 1));
  std::set<uint64_t> seen = {keys.HeadTag(tag, 1), keys.BodyTag(tag, 1), keys.HeadTag(tag, 0),
                             keys.Authenticate(kHeader, tag, 1)};
  for (const FrameKeys& keys_of_another :
       {FrameKeys(longer, addresses), FrameKeys(other, addresses), FrameKeys(secret, swapped),
        FrameKeys(secret, joined), FrameKeys("", addresses)}) {
    seen.insert(keys_of_another.HeadTag(tag, 1));
    seen.insert(keys_of_another.Authenticate(kHeader, tag, 1));
  }
  EXPECT_EQ(seen.size(), 4u + 2 * 5);
  EXPECT_FALSE(seen.contains(tag.Encode()));
}

}  // namespace
}  // namespace rally
