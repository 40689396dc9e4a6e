#include "common/descriptor_limit.h"

#include <sys/resource.h>

#include <cerrno>

#include "common/atomic_file.h"

namespace rally {

absl::Status RaiseDescriptorLimit() {
  rlimit limit = {};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return absl::OkStatus();
  }
  return ErrnoStatus(errno, "cannot raise", "the limit of open files");
}

}  // namespace rally
