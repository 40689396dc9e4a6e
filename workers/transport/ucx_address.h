// UcxAddress: what one rank's UCX transport tells the others through the control plane, in a form
// that shows damage before UCX, which trusts its own addresses blindly, gets to see them.
//
// Bytes, integers little-endian:
//
//   offset  size
//    0       4   magic, "RUCX"
//    4       4   version of this format and of the frames (frame.h), 1
//    8       4   rank
//   12       4   ranks of the job
//   16      16   random bytes: they enter the keys of the epoch's frames
//   32       4   n, in [1, 65536]
//   36       n   UCX's worker address
//   36+n     4   CRC32C of all that is before
//
// Plain data and pure functions, any thread.
#ifndef RALLY_WORKERS_TRANSPORT_UCX_ADDRESS_H_
#define RALLY_WORKERS_TRANSPORT_UCX_ADDRESS_H_

#include <cstdint>
#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace rally {

struct UcxAddress {
  int32_t rank = 0;
  int32_t ranks = 1;
  std::string nonce;   // 16 bytes.
  std::string worker;  // UCX's.

  std::string Encode() const;
};

// InvalidArgument, naming field and value, unless `bytes` is an address as above.
absl::StatusOr<UcxAddress> ParseUcxAddress(absl::string_view bytes);

// 16 random bytes of the operating system's; Unavailable when it has none.
absl::StatusOr<std::string> MakeNonce();

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_UCX_ADDRESS_H_
