#include "common/dataset.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include <absl/strings/str_cat.h>
#include <xxhash.h>

#include "common/atomic_file.h"
#include "common/check.h"
#include "common/dataset_format.h"
#include "common/status_macros.h"

namespace rally {
namespace {

// Between two questions whether to go on verifying.
constexpr size_t kBytesAtOnce = size_t{8} << 20;
constexpr int64_t kDocumentsAtOnce = 1024;
constexpr char kStopped[] = "verifying was stopped";

// A whole file, mapped for reading.
class Mapping {
 public:
  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    return *this;
  }
  ~Mapping() {
    if (data_ != nullptr) munmap(data_, size_);
  }

  // Maps `path`; DataLoss unless it has exactly `size` bytes, at least one.
  static absl::StatusOr<Mapping> Open(const std::string& path, uint64_t size) {
    const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0 && errno == ENOENT) {
      return absl::DataLossError(
          absl::StrCat(path, ": expected a file of ", size, " bytes, found none"));
    }
    if (fd < 0) return ErrnoStatus(errno, "cannot open", path);
    absl::StatusOr<Mapping> mapping = Map(fd, path, size);
    close(fd);
    return mapping;
  }

  const std::byte* data() const { return static_cast<const std::byte*>(data_); }

 private:
  static absl::StatusOr<Mapping> Map(int fd, const std::string& path, uint64_t size) {
    struct stat file;
    if (fstat(fd, &file) != 0) return ErrnoStatus(errno, "cannot stat", path);
    if (!S_ISREG(file.st_mode)) {
      return absl::DataLossError(absl::StrCat(path, ": expected a regular file, found another"));
    }
    if (static_cast<uint64_t>(file.st_size) != size) {
      return absl::DataLossError(
          absl::StrCat(path, ": expected ", size, " bytes, found ", file.st_size));
    }
    Mapping mapping;
    void* data = mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0);
    if (data == MAP_FAILED) return ErrnoStatus(errno, "cannot map", path);
    mapping.data_ = data;
    mapping.size_ = size;
    return mapping;
  }

  void* data_ = nullptr;
  size_t size_ = 0;
};

absl::Status ExpectChecksum(const std::string& path, const char* what, uint64_t expected,
                            uint64_t found) {
  if (expected == found) return absl::OkStatus();
  return absl::DataLossError(absl::StrCat(path, ": expected ", what, " with XXH3 checksum ",
                                          FormatChecksum(expected), ", found ",
                                          FormatChecksum(found)));
}

class MappedDataset final : public Dataset {
 public:
  MappedDataset(std::string path, const DatasetManifest& manifest, Mapping mapping)
      : path_(std::move(path)),
        info_(manifest.info),
        tokens_xxh3_(manifest.tokens_xxh3),
        mapping_(std::move(mapping)),
        offsets_(reinterpret_cast<const uint64_t*>(mapping_.data() + sizeof(DatasetHeader))),
        tokens_(reinterpret_cast<const std::byte*>(offsets_ + info_.documents + 1)) {}

  const DatasetInfo& info() const override { return info_; }

  int64_t length(int64_t index) const override {
    RALLY_CHECK(index >= 0 && index < info_.documents, absl::StrCat("document ", index));
    return static_cast<int64_t>(offsets_[index + 1] - offsets_[index]);
  }

  absl::Status Read(int64_t index, int64_t begin, absl::Span<int32_t> out) const override {
    if (index < 0 || index >= info_.documents) {
      return absl::OutOfRangeError(absl::StrCat(path_, ": document ", index, " of ",
                                                info_.documents, " documents does not exist"));
    }
    const int64_t size = static_cast<int64_t>(out.size());
    if (begin < 0 || begin > length(index) || size > length(index) - begin) {
      return absl::OutOfRangeError(absl::StrCat(path_, ": document ", index, " has ", length(index),
                                                " tokens, not ", size, " from ", begin));
    }
    const uint64_t first = offsets_[index] + static_cast<uint64_t>(begin);
    if (info_.token_bytes == 2) {
      const auto* tokens = reinterpret_cast<const uint16_t*>(tokens_) + first;
      std::copy(tokens, tokens + size, out.begin());
    } else if (size > 0) {
      std::memcpy(out.data(), tokens_ + first * sizeof(int32_t), out.size() * sizeof(int32_t));
    }
    return absl::OkStatus();
  }

  using Dataset::Verify;
  absl::Status Verify(absl::FunctionRef<bool()> go_on) const override {
    RALLY_ASSIGN_OR_RETURN(const uint64_t found, TokensChecksum(go_on));
    RALLY_RETURN_IF_ERROR(ExpectChecksum(path_, "tokens", tokens_xxh3_, found));
    for (int64_t d = 0; d < info_.documents; ++d) {
      if (d % kDocumentsAtOnce == 0 && !go_on()) return absl::CancelledError(kStopped);
      const auto first = static_cast<int64_t>(offsets_[d]);
      const int64_t last = first + length(d) - 1;
      bool good = Token(last) == info_.end_of_document;
      for (int64_t i = first; i < last; ++i) good &= Token(i) >= 0 && Token(i) < info_.vocabulary;
      if (!good) {
        return absl::DataLossError(absl::StrCat(path_, ": expected document ", d,
                                                " to hold tokens below ", info_.vocabulary,
                                                " and to end with ", info_.end_of_document));
      }
    }
    return absl::OkStatus();
  }

  // Header and offsets: the checksum first, then what a checksum cannot promise.
  absl::Status CheckIndex(uint64_t index_xxh3) const {
    const size_t bytes = static_cast<size_t>(tokens_ - mapping_.data());
    RALLY_RETURN_IF_ERROR(
        ExpectChecksum(path_, "header and index", index_xxh3, XXH3_64bits(mapping_.data(), bytes)));
    DatasetHeader expected;
    expected.token_bytes = static_cast<uint32_t>(info_.token_bytes);
    expected.tokens = static_cast<uint64_t>(info_.tokens);
    expected.documents = static_cast<uint64_t>(info_.documents);
    DatasetHeader found;
    std::memcpy(&found, mapping_.data(), sizeof(found));
    if (found != expected) {
      return absl::DataLossError(absl::StrCat(
          path_, ": expected a header of version ", expected.version, " with ", expected.documents,
          " documents and ", expected.tokens, " tokens as in dataset.json, found version ",
          found.version, ", ", found.documents, " documents, ", found.tokens, " tokens"));
    }
    bool ascending = offsets_[0] == 0 && offsets_[info_.documents] == expected.tokens;
    for (int64_t d = 0; d < info_.documents; ++d) ascending &= offsets_[d] < offsets_[d + 1];
    if (ascending) return absl::OkStatus();
    return absl::DataLossError(absl::StrCat(
        path_, ": expected document offsets that rise from 0 to ", info_.tokens, ", found others"));
  }

 private:
  absl::StatusOr<uint64_t> TokensChecksum(absl::FunctionRef<bool()> go_on) const {
    const size_t bytes = static_cast<size_t>(info_.tokens) * static_cast<size_t>(info_.token_bytes);
    const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(),
                                                                         &XXH3_freeState);
    XXH3_64bits_reset(state.get());
    for (size_t done = 0; done < bytes; done += kBytesAtOnce) {
      if (!go_on()) return absl::CancelledError(kStopped);
      XXH3_64bits_update(state.get(), tokens_ + done, std::min(kBytesAtOnce, bytes - done));
    }
    return XXH3_64bits_digest(state.get());
  }

  // Token i of the whole dataset. The header and the offsets leave tokens_ aligned to 8 bytes.
  int32_t Token(int64_t i) const {
    return info_.token_bytes == 2 ? reinterpret_cast<const uint16_t*>(tokens_)[i]
                                  : reinterpret_cast<const int32_t*>(tokens_)[i];
  }

  const std::string path_;  // Of tokens.bin.
  const DatasetInfo info_;
  const uint64_t tokens_xxh3_;
  const Mapping mapping_;
  const uint64_t* const offsets_;  // Documents + 1 entries.
  const std::byte* const tokens_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Dataset>> Dataset::Open(const std::string& directory) {
  const std::string path = absl::StrCat(directory, "/", kDatasetTokensFile);
  RALLY_ASSIGN_OR_RETURN(const DatasetManifest manifest,
                         ReadManifest(absl::StrCat(directory, "/", kDatasetManifestFile)));
  RALLY_ASSIGN_OR_RETURN(Mapping mapping, Mapping::Open(path, TokensFileSize(manifest.info)));
  auto dataset = std::make_unique<MappedDataset>(path, manifest, std::move(mapping));
  RALLY_RETURN_IF_ERROR(dataset->CheckIndex(manifest.index_xxh3));
  return dataset;
}

}  // namespace rally
