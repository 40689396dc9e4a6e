// The fault that fills a file system: see fault.h.
//
// The file that takes the room has no name any more before it grows: whatever ends this process,
// the kernel gives the room back.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "services/cli/fault.h"

namespace rally {
namespace {

constexpr int64_t kLargestPiece = int64_t{1} << 30;
constexpr int64_t kSmallestPiece = 4096;

class DiskFault final : public Fault {
 public:
  DiskFault(std::string directory, int fd, const FaultPlan& plan)
      : directory_(std::move(directory)),
        fd_(fd),
        duration_(plan.duration),
        leave_bytes_(plan.leave_bytes) {}
  ~DiskFault() override { close(fd_); }

  absl::Status Run(const Interruption& interruption) override {
    const absl::Time end = absl::Now() + duration_;
    const absl::Status filled = Fill(interruption);
    if (filled.ok()) interruption.WaitUntil(end);
    // The room is back when this returns, not when the fault is destroyed.
    if (ftruncate(fd_, 0) != 0) return ErrnoStatus(errno, "cannot empty a file in", directory_);
    return filled;
  }

 private:
  absl::StatusOr<int64_t> Free() const {
    struct statvfs room = {};
    if (fstatvfs(fd_, &room) != 0) return ErrnoStatus(errno, "cannot look at", directory_);
    const auto blocks = geteuid() == 0 ? room.f_bfree : room.f_bavail;
    return static_cast<int64_t>(blocks) * static_cast<int64_t>(room.f_frsize);
  }

  absl::Status Fill(const Interruption& interruption) {
    int64_t size = 0;
    int64_t piece = kLargestPiece;
    while (piece >= kSmallestPiece && interruption.reason().ok()) {
      RALLY_ASSIGN_OR_RETURN(const int64_t free, Free());
      const int64_t wanted = leave_bytes_ == 0 ? piece : std::min(piece, free - leave_bytes_);
      if (wanted < kSmallestPiece) return absl::OkStatus();
      const int error = posix_fallocate(fd_, size, wanted);
      if (error == 0) {
        size += wanted;
      } else if (error == ENOSPC) {
        piece = wanted / 2;
      } else if (error != EINTR) {
        return ErrnoStatus(error, "cannot fill", directory_);
      }
    }
    return absl::OkStatus();
  }

  const std::string directory_;
  const int fd_;  // Of a file without a name.
  const absl::Duration duration_;
  const int64_t leave_bytes_;
};

// The deepest directory of `path` that is there.
std::string ExistingPartOf(const std::string& path) {
  std::filesystem::path part = path;
  std::error_code error;
  while (!std::filesystem::is_directory(part, error) && part.has_relative_path()) {
    part = part.parent_path();
  }
  return part.empty() ? "." : part.string();
}

absl::Status CheckNotRoot(const std::string& directory) {
  struct stat its = {};
  struct stat root = {};
  if (stat(directory.c_str(), &its) != 0) return ErrnoStatus(errno, "cannot look at", directory);
  if (stat("/", &root) != 0) return ErrnoStatus(errno, "cannot look at", "/");
  if (its.st_dev != root.st_dev) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("--fill-disk: ", directory,
                   " is on the root file system, which other programs need; --yes fills it still"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<Fault>> MakeDiskFault(const FaultPlan& plan,
                                                     const std::string& directory) {
  if (directory.empty()) {
    return absl::FailedPreconditionError(
        "--fill-disk: the job has no checkpoint.directory whose disk could be filled");
  }
  const std::string existing = ExistingPartOf(directory);
  if (!plan.on_root_too) RALLY_RETURN_IF_ERROR(CheckNotRoot(existing));
  const std::string path = absl::StrCat(existing, "/rally-chaos-", getpid());
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  if (fd < 0) return ErrnoStatus(errno, "cannot write", path);
  auto fault = std::make_unique<DiskFault>(existing, fd, plan);
  if (unlink(path.c_str()) != 0) return ErrnoStatus(errno, "cannot remove", path);
  return fault;
}

}  // namespace rally
