#include "services/cli/submission.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <system_error>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "common/dataset.h"
#include "common/status_macros.h"
#include "services/coordinator/admission.h"
#include "services/data/statistics.h"
#include "services/job_file/job_file.h"

namespace rally {
namespace {

constexpr size_t kLongestStem = 40;

// Members may run in other directories.
std::string Absolute(const std::string& path) {
  std::error_code error;
  const std::filesystem::path absolute = std::filesystem::absolute(path, error);
  return path.empty() || error ? path : absolute.lexically_normal().string();
}

bool IsIdLetter(char c) { return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '-'; }

std::string MakeId(const std::string& job_path, absl::Time now) {
  std::string stem = absl::AsciiStrToLower(std::filesystem::path(job_path).stem().string());
  std::replace_if(
      stem.begin(), stem.end(), [](char c) { return !IsIdLetter(c); }, '-');
  if (stem.empty() || !absl::ascii_islower(stem[0])) stem = absl::StrCat("job-", stem);
  return absl::StrCat(stem.substr(0, kLongestStem), "-",
                      absl::FormatTime("%Y%m%d-%H%M%S", now, absl::UTCTimeZone()));
}

}  // namespace

absl::StatusOr<v1::SubmitJobRequest> MakeSubmission(const std::string& job_path,
                                                    const std::string& id, absl::Time now) {
  RALLY_ASSIGN_OR_RETURN(JobFile file, ReadJobFile(job_path));
  v1::SubmitJobRequest request;
  if (!id.empty()) {
    RALLY_RETURN_IF_ERROR(CheckJobId(id));
    request.set_job_id(id);
  } else if (file.lines.contains("id")) {
    RALLY_RETURN_IF_ERROR(
        Annotate(CheckJobId(file.id), absl::StrCat(file.name, ":", file.lines.at("id"))));
    request.set_job_id(file.id);
  } else {
    request.set_job_id(MakeId(job_path, now));
  }
  v1::JobSpec& spec = *request.mutable_spec();
  spec = file.spec;
  spec.mutable_data()->set_path(Absolute(spec.data().path()));
  if (!spec.checkpoint().directory().empty()) {
    spec.mutable_checkpoint()->set_directory(Absolute(spec.checkpoint().directory()));
  }
  return request;
}

absl::StatusOr<std::optional<double>> BigramEntropyOf(const std::string& dataset_path,
                                                      const ShutdownSignal& shutdown) {
  const absl::StatusOr<std::unique_ptr<Dataset>> dataset = Dataset::Open(dataset_path);
  if (!dataset.ok()) return std::nullopt;
  const absl::StatusOr<DatasetStatistics> statistics =
      ComputeStatistics(**dataset, [&shutdown] { return !shutdown.requested(); });
  if (absl::IsCancelled(statistics.status())) {
    return absl::CancelledError("interrupted; the summary is without the bigram entropy");
  }
  if (!statistics.ok()) return std::nullopt;
  return statistics->bigram_entropy;
}

}  // namespace rally
