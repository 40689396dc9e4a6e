#include "services/cli/run_directory.h"

#include <stdlib.h>

#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/atomic_file.h"

namespace rally {

absl::StatusOr<std::unique_ptr<RunDirectory>> RunDirectory::Make(const std::string& path) {
  std::error_code error;
  if (!path.empty()) {
    std::filesystem::create_directories(path, error);
    if (error) return ErrnoStatus(error.value(), "cannot make the run directory", path);
    const std::string absolute = std::filesystem::absolute(path).lexically_normal().string();
    return std::unique_ptr<RunDirectory>(new RunDirectory(absolute, /*temporary=*/false));
  }
  const std::filesystem::path parent = std::filesystem::temp_directory_path(error);
  std::string pattern = absl::StrCat(error ? "/tmp" : parent.string(), "/rally-XXXXXX");
  if (mkdtemp(pattern.data()) == nullptr) {
    return ErrnoStatus(errno, "cannot make a temporary directory", pattern);
  }
  return std::unique_ptr<RunDirectory>(new RunDirectory(pattern, /*temporary=*/true));
}

RunDirectory::RunDirectory(std::string path, bool temporary)
    : path_(std::move(path)), temporary_(temporary) {}

RunDirectory::~RunDirectory() {
  std::error_code ignored;  // Nothing can be done about it.
  if (temporary_) std::filesystem::remove_all(path_, ignored);
}

}  // namespace rally
