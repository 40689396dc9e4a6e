// Frames: what a message between two processes looks like on the wire, and the keys that keep
// strangers out.
//
// A message travels as a head, and as a body when it is longer than kMostInline bytes. The head is
// the header below, followed by the payload when there is no body; the body is the payload just as
// it lies in memory, so that it moves without a copy. Header, 32 bytes, integers little-endian:
//
//   offset  size
//    0       2   magic, "RF"
//    2       1   version, 1
//    3       1   flags: bit 0, there is a checksum; the others are zero
//    4       4   CRC32C of the payload; zero without the flag
//    8       8   size of the payload, bytes
//   16       8   sequence: counts from 1 what its sender has sent to its receiver
//   24       8   authenticator: SipHash of bytes 0 to 23, the encoded tag and the receiver's rank
//
// The wire tags that heads and bodies are matched by are SipHash values of (tag, receiver, part).
// All keys are derived from the secret and the addresses of the job's epoch. So who was not given
// these can neither name a message that somebody waits for nor make a header that is believed, and
// a frame that is sent again is known by its sequence. No protection from somebody on the way who
// changes a payload, and nothing is encrypted: networks that are not trusted need more.
//
// Pure data and functions, any thread.
#ifndef RALLY_WORKERS_TRANSPORT_FRAME_H_
#define RALLY_WORKERS_TRANSPORT_FRAME_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "workers/transport/siphash.h"
#include "workers/transport/tag.h"

namespace rally {

inline constexpr size_t kFrameHeaderBytes = 32;
inline constexpr size_t kMostInline = 8192;  // Bytes of payload.
inline constexpr size_t kLongestHead = kFrameHeaderBytes + kMostInline;
inline constexpr uint64_t kLargestPayload = uint64_t{1} << 48;  // Bytes.

struct FrameHeader {
  bool has_checksum = false;
  uint32_t checksum = 0;
  uint64_t size = 0;  // Of the payload, bytes.
  uint64_t sequence = 0;
  uint64_t authenticator = 0;

  bool has_body() const { return size > kMostInline; }
  // Bytes, header included.
  size_t head_size() const { return kFrameHeaderBytes + (has_body() ? 0 : size); }
};

// Writes kFrameHeaderBytes.
void WriteFrameHeader(const FrameHeader& header, std::byte* to);

// Reads the start of a head. InvalidArgument, naming field and value, unless it is a header as
// above; only a FrameKeys can tell whether to believe it.
absl::StatusOr<FrameHeader> ParseFrameHeader(absl::Span<const std::byte> head);

class FrameKeys {
 public:
  FrameKeys() = default;
  // `addresses` by rank, in the form in which all members got them.
  FrameKeys(absl::string_view secret, absl::Span<const std::string> addresses);

  uint64_t HeadTag(const Tag& tag, int32_t receiver) const;
  uint64_t BodyTag(const Tag& tag, int32_t receiver) const;
  // What `header`'s authenticator must be.
  uint64_t Authenticate(const FrameHeader& header, const Tag& tag, int32_t receiver) const;

 private:
  SipKey tags_;
  SipKey headers_;
};

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_FRAME_H_
