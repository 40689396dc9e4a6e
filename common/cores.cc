#include "common/cores.h"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <limits>
#include <optional>

#include <absl/strings/match.h>
#include <absl/strings/numbers.h>
#include <absl/strings/str_split.h>
#include <absl/strings/string_view.h>
#include <absl/strings/strip.h>

#include "common/atomic_file.h"

namespace rally {
namespace {

constexpr double kNoLimit = std::numeric_limits<double>::infinity();

// Nothing when it can not be read.
std::string Contents(const std::filesystem::path& path) {
  return ReadFile(path.string()).value_or("");
}

// A hierarchy of control groups that can limit CPU time.
struct Hierarchy {
  std::string mount_point;
  std::string mounted;  // The group at the mount point.
  bool unified;         // Version 2.
};

bool Lists(absl::string_view options, absl::string_view option) {
  const std::vector<absl::string_view> all = absl::StrSplit(options, ',');
  return std::find(all.begin(), all.end(), option) != all.end();
}

// From a line of mountinfo: id, parent, device, root, mount point, options, ..., "-", type, source,
// options of the file system.
std::optional<Hierarchy> ReadMount(absl::string_view line) {
  const std::vector<absl::string_view> fields = absl::StrSplit(line, ' ', absl::SkipEmpty());
  const auto dash = std::find(fields.begin(), fields.end(), "-");
  if (fields.end() - dash < 4 || dash - fields.begin() < 6) return std::nullopt;
  const bool unified = dash[1] == "cgroup2";
  if (!unified && !(dash[1] == "cgroup" && Lists(dash[3], "cpu"))) return std::nullopt;
  return Hierarchy{std::string(fields[4]), std::string(fields[3]), unified};
}

// The process's group in a hierarchy, from lines of "id:controllers:path".
std::optional<std::string> GroupIn(const Hierarchy& hierarchy, absl::string_view groups) {
  for (const absl::string_view line : absl::StrSplit(groups, '\n')) {
    const std::vector<absl::string_view> fields = absl::StrSplit(line, absl::MaxSplits(':', 2));
    if (fields.size() != 3) continue;
    if (hierarchy.unified ? fields[1].empty() : Lists(fields[1], "cpu")) {
      return std::string(fields[2]);
    }
  }
  return std::nullopt;
}

// `period` is positive where there is a limit.
double LimitOf(absl::string_view quota, absl::string_view period) {
  double numerator = 0.0;
  double denominator = 0.0;
  if (!absl::SimpleAtod(quota, &numerator) || !absl::SimpleAtod(period, &denominator) ||
      numerator <= 0.0 || denominator <= 0.0) {
    return kNoLimit;  // "max" or -1.
  }
  return numerator / denominator;
}

double LimitOfGroup(const std::filesystem::path& group, bool unified) {
  if (!unified) {
    return LimitOf(absl::StripAsciiWhitespace(Contents(group / "cpu.cfs_quota_us")),
                   absl::StripAsciiWhitespace(Contents(group / "cpu.cfs_period_us")));
  }
  const std::string text = Contents(group / "cpu.max");
  const std::vector<absl::string_view> fields =
      absl::StrSplit(text, absl::ByAnyChar(" \n"), absl::SkipEmpty());
  return fields.size() == 2 ? LimitOf(fields[0], fields[1]) : kNoLimit;
}

// Of the process's group and all above it, up to the one that is mounted.
double LimitIn(const Hierarchy& hierarchy, const std::string& group,
               const std::filesystem::path& root) {
  absl::string_view below = group;
  // What lies outside of the mounted group can not be seen, but for the mounted group itself.
  if (hierarchy.mounted != "/" && !absl::ConsumePrefix(&below, hierarchy.mounted)) below = "";
  const std::filesystem::path top =
      root / std::filesystem::path(hierarchy.mount_point).relative_path();
  double limit = LimitOfGroup(top, hierarchy.unified);
  std::filesystem::path at = top;
  for (const absl::string_view name : absl::StrSplit(below, '/', absl::SkipEmpty())) {
    if (name == "..") break;
    at /= std::string(name);
    limit = std::min(limit, LimitOfGroup(at, hierarchy.unified));
  }
  return limit;
}

}  // namespace

std::vector<int> AllowedCores() {
  constexpr int kMostCores = 16 * CPU_SETSIZE;
  cpu_set_t sets[kMostCores / CPU_SETSIZE] = {};
  std::vector<int> cores;
  if (sched_getaffinity(0, sizeof(sets), sets) == 0) {
    for (int core = 0; core < kMostCores; ++core) {
      if (CPU_ISSET_S(core, sizeof(sets), sets)) cores.push_back(core);
    }
  }
  if (cores.empty()) cores.push_back(0);
  return cores;
}

int CutToLimit(int cores, double limit) {
  return limit < cores ? std::max(1, static_cast<int>(std::ceil(limit))) : cores;
}

int UsableCores() { return CutToLimit(static_cast<int>(AllowedCores().size()), CpuTimeLimit()); }

double CpuTimeLimit(const std::string& root) {
  const std::filesystem::path self = std::filesystem::path(root) / "proc/self";
  const std::string groups = Contents(self / "cgroup");
  const std::string mounts = Contents(self / "mountinfo");
  double limit = kNoLimit;
  for (const absl::string_view line : absl::StrSplit(mounts, '\n')) {
    const std::optional<Hierarchy> hierarchy = ReadMount(line);
    if (!hierarchy.has_value()) continue;
    const std::optional<std::string> group = GroupIn(*hierarchy, groups);
    if (group.has_value()) limit = std::min(limit, LimitIn(*hierarchy, *group, root));
  }
  return limit;
}

}  // namespace rally
