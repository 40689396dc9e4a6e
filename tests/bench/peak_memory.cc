#include "tests/bench/peak_memory.h"

#include <algorithm>
#include <fstream>
#include <string>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/strip.h>

namespace rally::bench {
namespace {

// The value of a line "Name:   1234 kB" of this process's status, in bytes; 0 when it is not there.
int64_t StatusBytes(const std::string& name) {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (!absl::StartsWith(line, name + ":")) continue;
    int64_t kilobytes = 0;
    const absl::string_view value = absl::string_view(line).substr(name.size() + 1);
    return absl::SimpleAtoi(absl::StripSuffix(value, "kB"), &kilobytes) ? kilobytes * 1024 : 0;
  }
  return 0;
}

}  // namespace

PeakMemory::PeakMemory() {
  std::ofstream("/proc/self/clear_refs") << "5";  // The peak becomes what is resident now.
  at_start_ = StatusBytes("VmRSS");
}

int64_t PeakMemory::bytes() const { return std::max<int64_t>(0, StatusBytes("VmHWM") - at_start_); }

}  // namespace rally::bench
