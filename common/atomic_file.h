// Files that are there whole or not at all, whenever the machine stops.
//
// Free functions, any thread; two writers of one path at a time are the caller's mistake. Errors
// name the path and the system's reason.
#ifndef RALLY_COMMON_ATOMIC_FILE_H_
#define RALLY_COMMON_ATOMIC_FILE_H_

#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

namespace rally {

// `errno`'s value `error` as a status "action path: reason": NotFound, PermissionDenied,
// AlreadyExists, ResourceExhausted (disk full), or Unavailable for the rest.
absl::Status ErrnoStatus(int error, absl::string_view action, absl::string_view path);

// Writes aside (`<path>.partial-<process id>`), fsyncs, renames onto `path`, fsyncs the directory.
// On failure `path` is what it was and nothing is left beside it.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents);

// Renames a file or directory and fsyncs the directory that holds `to` (of the same file system).
// What must survive a crash has been fsynced before.
absl::Status RenameDurably(const std::string& from, const std::string& to);

// Makes a directory's entries durable.
absl::Status SyncDirectory(const std::string& directory);

// The contents of a file.
absl::StatusOr<std::string> ReadFile(const std::string& path);

}  // namespace rally

#endif  // RALLY_COMMON_ATOMIC_FILE_H_
