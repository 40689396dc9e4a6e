#include "services/data/input_files.h"

#include <algorithm>
#include <filesystem>
#include <optional>
#include <system_error>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"

namespace rally {
namespace {

namespace fs = std::filesystem;

std::optional<InputKind> KindOf(const fs::path& path) {
  if (path.extension() == ".txt") return InputKind::kText;
  if (path.extension() == ".jsonl") return InputKind::kJsonLines;
  return std::nullopt;
}

absl::Status AddFile(const fs::path& path, InputKind kind, std::vector<InputFile>* files) {
  std::error_code error;
  const uintmax_t bytes = fs::file_size(path, error);
  if (error) return ErrnoStatus(error.value(), "cannot read", path.string());
  files->push_back({path.string(), kind, static_cast<int64_t>(bytes)});
  return absl::OkStatus();
}

bool IsHidden(const fs::path& path) { return absl::StartsWith(path.filename().string(), "."); }

absl::Status AddFolder(const std::string& folder, std::vector<InputFile>* files) {
  std::vector<fs::path> found;
  std::error_code error;
  fs::recursive_directory_iterator entry(folder, error);
  for (; !error && entry != fs::recursive_directory_iterator(); entry.increment(error)) {
    if (IsHidden(entry->path())) {
      entry.disable_recursion_pending();
      continue;
    }
    std::error_code ignored;  // A broken link is no file.
    if (KindOf(entry->path()).has_value() && entry->is_regular_file(ignored)) {
      found.push_back(entry->path());
    }
  }
  if (error) return ErrnoStatus(error.value(), "cannot read", folder);
  if (found.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat(folder, ": no .txt and no .jsonl file in this folder"));
  }
  std::sort(found.begin(), found.end());
  for (const fs::path& path : found) RALLY_RETURN_IF_ERROR(AddFile(path, *KindOf(path), files));
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::vector<InputFile>> ListInputFiles(const std::vector<std::string>& inputs) {
  std::vector<InputFile> files;
  for (const std::string& input : inputs) {
    std::error_code error;
    const fs::file_status status = fs::status(input, error);
    if (!fs::exists(status)) return ErrnoStatus(error.value(), "cannot read", input);
    const std::optional<InputKind> kind = KindOf(input);
    if (fs::is_directory(status)) {
      RALLY_RETURN_IF_ERROR(AddFolder(input, &files));
    } else if (fs::is_regular_file(status) && kind.has_value()) {
      RALLY_RETURN_IF_ERROR(AddFile(input, *kind, &files));
    } else {
      return absl::InvalidArgumentError(
          absl::StrCat(input, ": expected a .txt file, a .jsonl file or a folder of them"));
    }
  }
  return files;
}

}  // namespace rally
