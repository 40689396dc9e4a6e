#include "workers/model/safetensors.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

#include <absl/cleanup/cleanup.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "common/check.h"
#include "common/status_macros.h"

static_assert(std::endian::native == std::endian::little, "the file is little-endian");

namespace rally {
namespace {

constexpr uint64_t kHeaderAlignment = 64;
constexpr uint64_t kLargestHeader = 100'000'000;  // As Hugging Face's reader.

absl::Status WriteAll(int fd, const std::string& path, const void* data, size_t bytes,
                      const StillWanted& wanted) {
  const char* from = static_cast<const char*>(data);
  while (bytes > 0) {
    if (wanted != nullptr) RALLY_RETURN_IF_ERROR(wanted());
    const ssize_t written = write(fd, from, std::min(bytes, kWantedBytes));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return ErrnoStatus(errno, "write", path);
    from += written;
    bytes -= static_cast<size_t>(written);
  }
  return absl::OkStatus();
}

absl::Status ReadAt(int fd, const std::string& path, uint64_t offset, void* data, size_t bytes) {
  char* to = static_cast<char*>(data);
  while (bytes > 0) {
    const ssize_t got = pread(fd, to, bytes, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "read", path);
    if (got == 0) {
      return absl::DataLossError(
          absl::StrCat(path, " ends at byte ", offset, ", ", bytes, " bytes short"));
    }
    to += got;
    offset += static_cast<uint64_t>(got);
    bytes -= static_cast<size_t>(got);
  }
  return absl::OkStatus();
}

std::string HeaderOf(absl::Span<const TensorSource> tensors) {
  nlohmann::ordered_json header;
  header["__metadata__"] = {{"format", "pt"}};
  uint64_t offset = 0;
  for (const TensorSource& tensor : tensors) {
    const uint64_t end = offset + tensor.values.size() * sizeof(float);
    header[tensor.name] = {
        {"dtype", "F32"}, {"shape", tensor.shape}, {"data_offsets", {offset, end}}};
    offset = end;
  }
  std::string text = header.dump();
  const uint64_t used = (sizeof(uint64_t) + text.size()) % kHeaderAlignment;
  if (used != 0) text.append(kHeaderAlignment - used, ' ');
  return text;
}

struct Header {
  nlohmann::json json;
  uint64_t data_begin = 0;
};

absl::StatusOr<Header> ReadHeader(int fd, const std::string& path) {
  uint64_t size = 0;
  RALLY_RETURN_IF_ERROR(ReadAt(fd, path, 0, &size, sizeof(size)));
  if (size > kLargestHeader) {
    return absl::DataLossError(absl::StrCat(path, " claims a header of ", size, " bytes"));
  }
  std::string text(size, '\0');
  RALLY_RETURN_IF_ERROR(ReadAt(fd, path, sizeof(size), text.data(), text.size()));
  Header header;
  header.json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!header.json.is_object()) {
    return absl::DataLossError(absl::StrCat(path, " has a header that is not a JSON object"));
  }
  header.data_begin = sizeof(size) + size;
  return header;
}

// What the header says of one tensor.
struct Entry {
  std::string type;
  std::vector<int64_t> shape;
  std::vector<uint64_t> offsets;
};

absl::StatusOr<Entry> EntryOf(const Header& header, const std::string& path,
                              const std::string& name) {
  const auto found = header.json.find(name);
  if (found == header.json.end()) {
    return absl::FailedPreconditionError(absl::StrCat(path, " has no tensor ", name));
  }
  try {
    return Entry{found->at("dtype").get<std::string>(),
                 found->at("shape").get<std::vector<int64_t>>(),
                 found->at("data_offsets").get<std::vector<uint64_t>>()};
  } catch (const nlohmann::json::exception& error) {
    return absl::DataLossError(
        absl::StrCat(path, " describes tensor ", name, " badly: ", error.what()));
  }
}

absl::Status ReadTensor(int fd, const std::string& path, const Header& header,
                        const TensorTarget& target) {
  RALLY_ASSIGN_OR_RETURN(const Entry entry, EntryOf(header, path, target.name));
  if (entry.type != "F32" || entry.shape != target.shape) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " has tensor ", target.name, " as ", entry.type, " [",
        absl::StrJoin(entry.shape, ", "), "], not F32 [", absl::StrJoin(target.shape, ", "), "]"));
  }
  const uint64_t bytes = target.values.size() * sizeof(float);
  if (entry.offsets.size() != 2 || entry.offsets[1] - entry.offsets[0] != bytes) {
    return absl::DataLossError(
        absl::StrCat(path, " gives tensor ", target.name, " other than ", bytes, " bytes"));
  }
  return ReadAt(fd, path, header.data_begin + entry.offsets[0], target.values.data(), bytes);
}

}  // namespace

absl::Status WriteSafetensors(const std::string& path, absl::Span<const TensorSource> tensors,
                              const StillWanted& wanted) {
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoStatus(errno, "create", path);
  const absl::Cleanup close_file = [fd] { close(fd); };
  const std::string header = HeaderOf(tensors);
  const uint64_t size = header.size();
  RALLY_RETURN_IF_ERROR(WriteAll(fd, path, &size, sizeof(size), wanted));
  RALLY_RETURN_IF_ERROR(WriteAll(fd, path, header.data(), header.size(), wanted));
  for (const TensorSource& tensor : tensors) {
    const size_t bytes = tensor.values.size() * sizeof(float);
    RALLY_RETURN_IF_ERROR(WriteAll(fd, path, tensor.values.data(), bytes, wanted));
  }
  if (fsync(fd) != 0) return ErrnoStatus(errno, "fsync", path);
  return absl::OkStatus();
}

absl::Status ReadSafetensors(const std::string& path, absl::Span<const TensorTarget> tensors) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "open", path);
  const absl::Cleanup close_file = [fd] { close(fd); };
  RALLY_ASSIGN_OR_RETURN(const Header header, ReadHeader(fd, path));
  for (const TensorTarget& target : tensors) {
    RALLY_RETURN_IF_ERROR(ReadTensor(fd, path, header, target));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::set<std::string>> SafetensorsNames(const std::string& path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, "open", path);
  const absl::Cleanup close_file = [fd] { close(fd); };
  RALLY_ASSIGN_OR_RETURN(const Header header, ReadHeader(fd, path));
  std::set<std::string> names;
  for (const auto& [name, entry] : header.json.items()) {
    if (name != "__metadata__") names.insert(name);
  }
  return names;
}

}  // namespace rally
