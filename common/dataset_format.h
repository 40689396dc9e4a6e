// The parts of a dataset's format (see common/dataset.h) that its reader and its writer share.
//
// Plain data and pure functions, except ReadManifest, which reads one file.
#ifndef RALLY_COMMON_DATASET_FORMAT_H_
#define RALLY_COMMON_DATASET_FORMAT_H_

#include <array>
#include <bit>
#include <cstdint>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "common/dataset.h"

namespace rally {

// Files are little-endian and are mapped as they are.
static_assert(std::endian::native == std::endian::little);

inline constexpr char kDatasetManifestFile[] = "dataset.json";
inline constexpr char kDatasetTokensFile[] = "tokens.bin";
inline constexpr uint32_t kDatasetVersion = 1;

// The first bytes of tokens.bin.
struct DatasetHeader {
  std::array<char, 8> magic = {'R', 'A', 'L', 'L', 'Y', 'T', 'O', 'K'};
  uint32_t version = kDatasetVersion;
  uint32_t token_bytes = 0;
  uint64_t tokens = 0;
  uint64_t documents = 0;

  friend bool operator==(const DatasetHeader&, const DatasetHeader&) = default;
};
static_assert(sizeof(DatasetHeader) == 32);

// What dataset.json says.
struct DatasetManifest {
  DatasetInfo info;
  uint64_t tokens_xxh3 = 0;
  uint64_t index_xxh3 = 0;
};

// 2 when every id of a vocabulary fits, else 4.
int32_t TokenBytes(int64_t vocabulary);

// Size of tokens.bin in bytes.
uint64_t TokensFileSize(const DatasetInfo& info);

// 16 lower-case hex digits.
std::string FormatChecksum(uint64_t checksum);

std::string FormatManifest(const DatasetManifest& manifest);
// NotFound without the file; DataLoss, naming it and the field, when it is not what it should be.
absl::StatusOr<DatasetManifest> ReadManifest(const std::string& path);

}  // namespace rally

#endif  // RALLY_COMMON_DATASET_FORMAT_H_
