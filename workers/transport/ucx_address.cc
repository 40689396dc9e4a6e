#include "workers/transport/ucx_address.h"

#include <sys/random.h>

#include <cerrno>
#include <cstddef>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>
#include <absl/types/span.h>

#include "workers/transport/crc32c.h"
#include "workers/transport/little_endian.h"

namespace rally {
namespace {

constexpr absl::string_view kMagic = "RUCX";
constexpr uint32_t kVersion = 1;
constexpr size_t kNonceBytes = 16;
constexpr size_t kWorkerOffset = 36;
constexpr size_t kChecksumBytes = sizeof(uint32_t);
constexpr size_t kLongestWorker = 65536;

absl::Span<const std::byte> AsBytes(absl::string_view text) {
  return {reinterpret_cast<const std::byte*>(text.data()), text.size()};
}

void Append(uint32_t value, std::string* text) {
  std::byte bytes[sizeof(value)];
  StoreLittleEndian(value, bytes);
  text->append(reinterpret_cast<const char*>(bytes), sizeof(bytes));
}

uint32_t Load(absl::string_view text, size_t offset) {
  return LoadLittleEndian<uint32_t>(AsBytes(text).data() + offset);
}

}  // namespace

std::string UcxAddress::Encode() const {
  std::string bytes(kMagic);
  Append(kVersion, &bytes);
  Append(static_cast<uint32_t>(rank), &bytes);
  Append(static_cast<uint32_t>(ranks), &bytes);
  bytes += nonce;
  Append(static_cast<uint32_t>(worker.size()), &bytes);
  bytes += worker;
  Append(Crc32c(AsBytes(bytes)), &bytes);
  return bytes;
}

absl::StatusOr<UcxAddress> ParseUcxAddress(absl::string_view bytes) {
  const auto refuse = [](absl::string_view field, uint64_t value, absl::string_view accepted) {
    return absl::InvalidArgumentError(
        absl::StrCat("transport address: ", field, " is ", value, ", not ", accepted));
  };
  if (bytes.size() < kWorkerOffset + 1 + kChecksumBytes) {
    return refuse("size", bytes.size(), "at least 41 bytes");
  }
  if (bytes.substr(0, kMagic.size()) != kMagic) {
    return refuse("magic", Load(bytes, 0), "\"RUCX\"");
  }
  if (Load(bytes, 4) != kVersion) {
    return refuse("version", Load(bytes, 4), "1: all members must run the same release");
  }
  const size_t worker_size = Load(bytes, 32);
  if (worker_size == 0 || worker_size > kLongestWorker ||
      worker_size != bytes.size() - kWorkerOffset - kChecksumBytes) {
    return refuse("size of UCX's part", worker_size, "what follows, in [1, 65536] bytes");
  }
  const size_t checked = kWorkerOffset + worker_size;
  const uint32_t checksum = Crc32c(AsBytes(bytes.substr(0, checked)));
  if (Load(bytes, checked) != checksum) {
    return refuse("checksum", Load(bytes, checked), absl::StrCat(checksum, ", as its bytes have"));
  }
  UcxAddress address;
  address.rank = static_cast<int32_t>(Load(bytes, 8));
  address.ranks = static_cast<int32_t>(Load(bytes, 12));
  address.nonce = std::string(bytes.substr(16, kNonceBytes));
  address.worker = std::string(bytes.substr(kWorkerOffset, worker_size));
  return address;
}

absl::StatusOr<std::string> MakeNonce() {
  std::string nonce(kNonceBytes, '\0');
  // So few bytes come whole or not at all.
  if (getrandom(nonce.data(), nonce.size(), 0) == static_cast<ssize_t>(nonce.size())) return nonce;
  return absl::UnavailableError(
      absl::StrCat("no random bytes: ", absl::ErrnoToStatus(errno, "getrandom").message()));
}

}  // namespace rally
