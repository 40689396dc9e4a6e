#include "workers/model/checkpoint_directory.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include <absl/strings/numbers.h>
#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/strings/strip.h>

#include "common/atomic_file.h"
#include "common/host.h"
#include "common/status_macros.h"

namespace rally {
namespace {

namespace fs = std::filesystem;

// The step of a complete checkpoint's folder name, or -1.
int64_t StepOf(absl::string_view name) {
  int64_t step = -1;
  if (!absl::ConsumePrefix(&name, "step-") || name.size() < 8) return -1;
  if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= '0' && c <= '9'; }))
    return -1;
  return absl::SimpleAtoi(name, &step) ? step : -1;
}

constexpr const char* kPartial = ".partial-";

}  // namespace

std::string CheckpointPath(const CheckpointSpec& spec, int64_t step) {
  return absl::StrFormat("%s/step-%08d", spec.directory, step);
}

std::string PartialCheckpointPath(const CheckpointSpec& spec, int64_t step, uint64_t run) {
  return absl::StrFormat("%s%s%016x", CheckpointPath(spec, step), kPartial, run);
}

absl::StatusOr<std::vector<int64_t>> ListCheckpoints(const CheckpointSpec& spec) {
  std::vector<int64_t> steps;
  std::error_code error;
  fs::directory_iterator entries(spec.directory, error);
  if (error == std::errc::no_such_file_or_directory) return steps;
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const int64_t step = StepOf(entries->path().filename().string());
    if (step >= 0) steps.push_back(step);
  }
  if (error) return ErrnoStatus(error.value(), "list checkpoint.directory", spec.directory);
  std::sort(steps.begin(), steps.end());
  return steps;
}

absl::Status CheckpointMissing(const CheckpointSpec& spec, int64_t known) {
  return absl::UnavailableError(absl::StrCat(
      "checkpoint.directory ", spec.directory, " on ", MachineName(),
      " has no checkpoint, though that of step ", known,
      " was written: is its file system mounted there? To start anew, submit another job"));
}

absl::Status CheckCheckpointDirectory(const CheckpointSpec& spec, int64_t known) {
  if (spec.directory.empty()) return absl::OkStatus();
  RALLY_ASSIGN_OR_RETURN(const std::vector<int64_t> steps, ListCheckpoints(spec));
  if (steps.empty() && known > 0) return CheckpointMissing(spec, known);
  std::error_code error;
  fs::create_directories(spec.directory, error);
  if (error) return ErrnoStatus(error.value(), "create checkpoint.directory", spec.directory);
  if (!spec.resume && !steps.empty()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "checkpoint.directory ", spec.directory, " already holds step ", steps.back(),
        ": set checkpoint.resume: true to continue from it, or choose another directory"));
  }
  const std::string probe = absl::StrCat(spec.directory, "/.writable-", getpid());
  RALLY_RETURN_IF_ERROR(Annotate(WriteFileAtomically(probe, ""), "checkpoint.directory"));
  fs::remove(probe, error);
  return absl::OkStatus();
}

absl::StatusOr<std::string> SetCheckpointAside(const CheckpointSpec& spec, int64_t step) {
  const std::string folder = CheckpointPath(spec, step);
  std::string aside = folder + ".damaged";
  std::error_code error;
  for (int i = 2; fs::exists(aside, error); ++i) aside = absl::StrCat(folder, ".damaged-", i);
  RALLY_RETURN_IF_ERROR(RenameDurably(folder, aside));
  return aside;
}

void RemoveOldCheckpoints(const CheckpointSpec& spec) {
  const absl::StatusOr<std::vector<int64_t>> steps = ListCheckpoints(spec);
  if (!steps.ok()) return;
  for (size_t i = 0; i + std::max(1, spec.keep) < steps->size(); ++i) {
    // Renamed first: what is left if this process dies here must not look complete.
    const std::string going = PartialCheckpointPath(spec, (*steps)[i], 0);
    std::error_code error;
    fs::remove_all(going, error);
    fs::rename(CheckpointPath(spec, (*steps)[i]), going, error);
    fs::remove_all(going, error);
  }
}

void RemoveStalePartials(const CheckpointSpec& spec, int64_t step, uint64_t run) {
  std::vector<fs::path> stale;
  std::error_code error;
  fs::directory_iterator entries(spec.directory, error);
  for (; !error && entries != fs::directory_iterator(); entries.increment(error)) {
    const std::string name = entries->path().filename().string();
    const size_t end = name.find(kPartial);
    if (end == std::string::npos) continue;
    const int64_t its_step = StepOf(absl::string_view(name).substr(0, end));
    if (its_step < 0) continue;
    const bool ours = entries->path().string() == PartialCheckpointPath(spec, its_step, run);
    if (!ours || its_step < step) stale.push_back(entries->path());
  }
  for (const fs::path& path : stale) fs::remove_all(path, error);
}

}  // namespace rally
