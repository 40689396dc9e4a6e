#include "services/coordinator/data_roots.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <deque>
#include <utility>

#include <absl/strings/match.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include "common/atomic_file.h"
#include "common/dataset_format.h"
#include "common/status_macros.h"
#include "common/utf8.h"

namespace rally {
namespace {

constexpr int kMostLinks = 40;  // As Linux has it.

// Where the link points to; empty when `path` is no link, or nothing.
absl::StatusOr<std::string> ReadLink(const std::string& path) {
  struct stat info = {};
  if (lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return std::string();
    return ErrnoStatus(errno, "look at", path);
  }
  if (!S_ISLNK(info.st_mode)) return std::string();
  std::array<char, PATH_MAX> target;
  const ssize_t size = readlink(path.c_str(), target.data(), target.size());
  if (size <= 0) return ErrnoStatus(size == 0 ? EINVAL : errno, "read the link", path);
  return std::string(target.data(), static_cast<size_t>(size));
}

// Puts the parts of `path` before what is left to be walked.
void Prepend(absl::string_view path, std::deque<std::string>* parts) {
  const std::vector<std::string> more = absl::StrSplit(path, '/', absl::SkipEmpty());
  parts->insert(parts->begin(), more.begin(), more.end());
}

}  // namespace

absl::StatusOr<std::string> ResolvePath(absl::string_view path) {
  if (!absl::StartsWith(path, "/")) {
    return absl::InvalidArgumentError(absl::StrCat("\"", path, "\" is not an absolute path"));
  }
  if (path.size() >= PATH_MAX || absl::StrContains(path, absl::string_view("\0", 1))) {
    return absl::InvalidArgumentError(
        absl::StrCat("is not a path of at most ", PATH_MAX - 1, " bytes without a zero"));
  }
  std::deque<std::string> parts;
  Prepend(path, &parts);
  std::string resolved;  // "" stands for "/".
  int links = 0;
  while (!parts.empty()) {
    const std::string part = std::move(parts.front());
    parts.pop_front();
    if (part == ".") continue;
    if (part == "..") {
      resolved.resize(resolved.empty() ? 0 : resolved.rfind('/'));
      continue;
    }
    const std::string next = absl::StrCat(resolved, "/", part);
    RALLY_ASSIGN_OR_RETURN(const std::string target, ReadLink(next));
    if (target.empty()) {
      resolved = next;
    } else if (++links > kMostLinks) {
      return absl::InvalidArgumentError(absl::StrCat(path, " goes through too many links"));
    } else {
      if (target.front() == '/') resolved.clear();
      Prepend(target, &parts);
    }
  }
  return resolved.empty() ? "/" : resolved;
}

std::string ResolvedOrAsItIs(const std::string& path) {
  absl::StatusOr<std::string> resolved = ResolvePath(path);
  return resolved.ok() ? *std::move(resolved) : path;
}

absl::StatusOr<DataRoots> DataRoots::Create(const std::vector<std::string>& roots) {
  DataRoots result;
  for (const std::string& root : roots) {
    absl::StatusOr<std::string> resolved = ResolvePath(root);
    if (!resolved.ok()) return Annotate(resolved.status(), "--data-root");
    struct stat info = {};
    if (stat(resolved->c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
      return absl::InvalidArgumentError(
          absl::StrCat("--data-root: ", root, " is not a directory that is there"));
    }
    result.roots_.push_back(*std::move(resolved));
  }
  return result;
}

bool DataRoots::Holds(absl::string_view resolved) const {
  return std::any_of(roots_.begin(), roots_.end(), [resolved](const std::string& root) {
    return root == "/" || resolved == root || absl::StartsWith(resolved, absl::StrCat(root, "/"));
  });
}

absl::Status DataRoots::ConfinePath(absl::string_view field, std::string* path) const {
  absl::StatusOr<std::string> resolved = ResolvePath(*path);
  // Why a path cannot be resolved would tell what there is outside of the roots.
  if (resolved.ok() && Holds(*resolved)) {
    if (Utf8PrefixLength(*resolved) != resolved->size()) {  // A message could not hold it.
      return absl::InvalidArgumentError(
          absl::StrCat(field, ": ", *path, " leads to a path that is not UTF-8"));
    }
    *path = *std::move(resolved);
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", *path, " is not an absolute path below ",
                   absl::StrJoin(roots_, " or "), ", where the coordinator allows jobs to be"));
}

absl::Status DataRoots::Confine(JobSpec* spec) const {
  if (roots_.empty()) return absl::OkStatus();
  RALLY_RETURN_IF_ERROR(ConfinePath("data.path", &spec->data.path));
  // The dataset's own files may be links as well.
  for (const char* name : {kDatasetManifestFile, kDatasetTokensFile}) {
    std::string file = absl::StrCat(spec->data.path, "/", name);
    RALLY_RETURN_IF_ERROR(ConfinePath("data.path", &file));
  }
  if (spec->checkpoint.directory.empty()) return absl::OkStatus();
  return ConfinePath("checkpoint.directory", &spec->checkpoint.directory);
}

}  // namespace rally
