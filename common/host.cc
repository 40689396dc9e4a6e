#include "common/host.h"

#include <limits.h>
#include <unistd.h>

#include <fstream>

#include <absl/strings/str_cat.h>

namespace rally {

std::string HostName() {
  char name[HOST_NAME_MAX + 1] = {};
  return gethostname(name, HOST_NAME_MAX) == 0 && name[0] != '\0' ? name : "unknown";
}

std::string MachineName() {
  // Names alone may be equal, as "localhost" often is.
  std::ifstream file("/proc/sys/kernel/random/boot_id");
  std::string boot;
  std::getline(file, boot);
  return absl::StrCat(HostName(), "/", boot.substr(0, 8));
}

}  // namespace rally
