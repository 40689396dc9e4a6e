#include "common/dataset_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <system_error>
#include <utility>
#include <vector>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>
#include <absl/strings/strip.h>
#include <xxhash.h>

#include "common/atomic_file.h"
#include "common/check.h"
#include "common/dataset_format.h"
#include "common/status_macros.h"

namespace rally {
namespace {

constexpr char kPartial[] = ".partial-";  // Before the writer's process id.
constexpr size_t kBufferBytes = size_t{1} << 20;

bool Exists(const std::string& path) {
  struct stat file;
  return lstat(path.c_str(), &file) == 0;
}

// Removes what killed writers of `directory` left, known by their process ids. On a shared file
// system another machine's writer may look dead: it then loses its work and reports that.
void RemoveAbandoned(const std::string& directory) {
  const std::filesystem::path path(directory);
  const std::string prefix = absl::StrCat(path.filename().string(), kPartial);
  std::error_code error;
  std::vector<std::filesystem::path> abandoned;
  const std::filesystem::path parent = path.has_parent_path() ? path.parent_path() : ".";
  for (std::filesystem::directory_iterator entry(parent, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    absl::string_view rest = name;
    pid_t pid = 0;
    if (!absl::ConsumePrefix(&rest, prefix) || !absl::SimpleAtoi(rest, &pid) || pid <= 0) continue;
    if (pid == getpid() || (kill(pid, 0) != 0 && errno == ESRCH)) {
      abandoned.push_back(entry->path());
    }
  }
  for (const std::filesystem::path& each : abandoned) {
    std::filesystem::remove_all(each, error);  // What stays is in nobody's way.
  }
}

// A file written front to back through a buffer.
class FileWriter {
 public:
  explicit FileWriter(std::string path) : path_(std::move(path)) { buffer_.reserve(kBufferBytes); }
  FileWriter(const FileWriter&) = delete;
  FileWriter& operator=(const FileWriter&) = delete;
  ~FileWriter() {
    if (fd_ >= 0) close(fd_);
  }

  absl::Status Create() {
    fd_ = open(path_.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd_ < 0 ? ErrnoStatus(errno, "cannot create", path_) : absl::OkStatus();
  }

  absl::Status Append(const void* data, size_t bytes) {
    buffer_.append(static_cast<const char*>(data), bytes);
    return buffer_.size() < kBufferBytes ? absl::OkStatus() : Flush();
  }

  absl::Status Flush() {
    absl::string_view rest = buffer_;
    while (!rest.empty()) {
      const ssize_t written = write(fd_, rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return ErrnoStatus(errno, "cannot write", path_);
      rest.remove_prefix(static_cast<size_t>(written));
    }
    buffer_.clear();
    return absl::OkStatus();
  }

  absl::Status SyncAndClose() {
    RALLY_RETURN_IF_ERROR(Flush());
    if (fsync(fd_) != 0) return ErrnoStatus(errno, "cannot sync", path_);
    if (close(std::exchange(fd_, -1)) != 0) return ErrnoStatus(errno, "cannot close", path_);
    return absl::OkStatus();
  }

  // Appends what `source`, flushed, holds.
  absl::Status AppendAll(FileWriter& source) {
    std::vector<char> block(kBufferBytes);
    for (off_t position = 0;;) {
      const ssize_t count = pread(source.fd_, block.data(), block.size(), position);
      if (count < 0 && errno == EINTR) continue;
      if (count < 0) return ErrnoStatus(errno, "cannot read", source.path_);
      if (count == 0) return absl::OkStatus();
      RALLY_RETURN_IF_ERROR(Append(block.data(), static_cast<size_t>(count)));
      position += count;
    }
  }

  const std::string& path() const { return path_; }

 private:
  const std::string path_;
  int fd_ = -1;
  std::string buffer_;
};

// The tokens go to a file of their own first: where they start in tokens.bin depends on the number
// of documents.
class FileDatasetWriter final : public DatasetWriter {
 public:
  FileDatasetWriter(std::string directory, const DatasetInfo& info)
      : directory_(std::move(directory)),
        partial_(absl::StrCat(directory_, kPartial, getpid())),
        body_(partial_ + "/body"),
        info_(info),
        hash_(XXH3_createState(), &XXH3_freeState) {
    info_.documents = 0;
    info_.tokens = 0;
    info_.token_bytes = TokenBytes(info.vocabulary);
    XXH3_64bits_reset(hash_.get());
  }

  ~FileDatasetWriter() override {
    if (!owns_partial_) return;
    std::error_code ignored;  // Nothing better to do than to leave it.
    std::filesystem::remove_all(partial_, ignored);
  }

  absl::Status Start() {
    RemoveAbandoned(directory_);
    if (mkdir(partial_.c_str(), 0755) != 0) return ErrnoStatus(errno, "cannot create", partial_);
    owns_partial_ = true;
    return body_.Create();
  }

  absl::Status Append(absl::Span<const int32_t> tokens) override {
    for (const int32_t token : tokens) {
      if (token >= 0 && token < info_.vocabulary) continue;
      return absl::InvalidArgumentError(
          absl::StrCat("token ", token, " of document ", info_.documents,
                       " is not in the vocabulary of ", info_.vocabulary));
    }
    return WriteTokens(tokens);
  }

  absl::Status EndDocument() override {
    RALLY_RETURN_IF_ERROR(WriteTokens({&info_.end_of_document, 1}));
    ++info_.documents;
    offsets_.push_back(static_cast<uint64_t>(info_.tokens));
    return absl::OkStatus();
  }

  absl::StatusOr<DatasetInfo> Finish() override {
    RALLY_CHECK(offsets_.back() == static_cast<uint64_t>(info_.tokens), "a document is open");
    if (info_.documents == 0) {
      return absl::InvalidArgumentError(absl::StrCat(directory_, ": a dataset needs a document"));
    }
    RALLY_RETURN_IF_ERROR(body_.Flush());
    DatasetManifest manifest{.info = info_, .tokens_xxh3 = XXH3_64bits_digest(hash_.get())};
    RALLY_RETURN_IF_ERROR(WriteTokensFile(&manifest.index_xxh3));
    if (unlink(body_.path().c_str()) != 0) {
      return ErrnoStatus(errno, "cannot remove", body_.path());
    }
    RALLY_RETURN_IF_ERROR(WriteFileAtomically(absl::StrCat(partial_, "/", kDatasetManifestFile),
                                              FormatManifest(manifest)));
    if (Exists(directory_)) {
      return absl::AlreadyExistsError(absl::StrCat(directory_, ": exists already"));
    }
    RALLY_RETURN_IF_ERROR(RenameDurably(partial_, directory_));
    owns_partial_ = false;
    return info_;
  }

 private:
  // Appends tokens to the body and their bytes to the checksum.
  absl::Status WriteTokens(absl::Span<const int32_t> tokens) {
    info_.tokens += static_cast<int64_t>(tokens.size());
    if (info_.token_bytes == 4) return WriteBytes(tokens.data(), tokens.size() * sizeof(int32_t));
    constexpr size_t kBlock = 4096;
    std::array<uint16_t, kBlock> narrow;
    for (size_t first = 0; first < tokens.size(); first += kBlock) {
      const absl::Span<const int32_t> block = tokens.subspan(first, kBlock);
      for (size_t i = 0; i < block.size(); ++i) narrow[i] = static_cast<uint16_t>(block[i]);
      RALLY_RETURN_IF_ERROR(WriteBytes(narrow.data(), block.size() * sizeof(uint16_t)));
    }
    return absl::OkStatus();
  }

  absl::Status WriteBytes(const void* data, size_t bytes) {
    XXH3_64bits_update(hash_.get(), data, bytes);
    return body_.Append(data, bytes);
  }

  absl::Status WriteTokensFile(uint64_t* index_xxh3) {
    DatasetHeader header;
    header.token_bytes = static_cast<uint32_t>(info_.token_bytes);
    header.tokens = static_cast<uint64_t>(info_.tokens);
    header.documents = static_cast<uint64_t>(info_.documents);
    const size_t offsets_bytes = offsets_.size() * sizeof(uint64_t);

    XXH3_64bits_reset(hash_.get());
    XXH3_64bits_update(hash_.get(), &header, sizeof(header));
    XXH3_64bits_update(hash_.get(), offsets_.data(), offsets_bytes);
    *index_xxh3 = XXH3_64bits_digest(hash_.get());

    FileWriter file(absl::StrCat(partial_, "/", kDatasetTokensFile));
    RALLY_RETURN_IF_ERROR(file.Create());
    RALLY_RETURN_IF_ERROR(file.Append(&header, sizeof(header)));
    RALLY_RETURN_IF_ERROR(file.Append(offsets_.data(), offsets_bytes));
    RALLY_RETURN_IF_ERROR(file.AppendAll(body_));
    return file.SyncAndClose();
  }

  const std::string directory_;
  const std::string partial_;
  FileWriter body_;
  DatasetInfo info_;
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> hash_;
  std::vector<uint64_t> offsets_ = {0};
  bool owns_partial_ = false;
};

}  // namespace

absl::StatusOr<std::unique_ptr<DatasetWriter>> DatasetWriter::Create(const std::string& directory,
                                                                     const DatasetInfo& info) {
  std::string clean = directory;
  while (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  if (clean.empty()) return absl::InvalidArgumentError("a dataset needs a directory's name");
  if (info.vocabulary < 1 || info.vocabulary > int64_t{1} << 31) {
    return absl::InvalidArgumentError(
        absl::StrCat("vocabulary ", info.vocabulary, " is not between 1 and 2147483648"));
  }
  if (info.end_of_document < 0 || info.end_of_document >= info.vocabulary) {
    return absl::InvalidArgumentError(absl::StrCat("end_of_document ", info.end_of_document,
                                                   " is not in the vocabulary of ",
                                                   info.vocabulary));
  }
  if (Exists(clean)) return absl::AlreadyExistsError(absl::StrCat(clean, ": exists already"));
  auto writer = std::make_unique<FileDatasetWriter>(clean, info);
  RALLY_RETURN_IF_ERROR(writer->Start());
  return writer;
}

}  // namespace rally
