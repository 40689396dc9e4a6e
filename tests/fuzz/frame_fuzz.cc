// Fuzzes what is read of bytes that strangers can send: the frame's header and the transport
// address. What is accepted must be written again as the same bytes.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <string>

#include "workers/transport/frame.h"
#include "workers/transport/ucx_address.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto* bytes = reinterpret_cast<const std::byte*>(data);
  const absl::StatusOr<rally::FrameHeader> header = rally::ParseFrameHeader({bytes, size});
  if (header.ok()) {
    std::byte written[rally::kFrameHeaderBytes];
    rally::WriteFrameHeader(*header, written);
    if (std::memcmp(written, bytes, sizeof(written)) != 0) std::abort();
    if (header->head_size() > rally::kLongestHead) std::abort();
  }
  const std::string text(reinterpret_cast<const char*>(data), size);
  const absl::StatusOr<rally::UcxAddress> address = rally::ParseUcxAddress(text);
  if (address.ok() && address->Encode() != text) std::abort();
  return 0;
}
