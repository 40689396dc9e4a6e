#include "services/coordinator/admission.h"

#include <algorithm>
#include <memory>
#include <vector>

#include <absl/strings/ascii.h>
#include <absl/strings/str_cat.h>

#include "common/dataset.h"
#include "common/dataset_split.h"
#include "common/status_macros.h"

namespace rally {
namespace {

// Whether any document has a token with a successor.
bool HasTarget(const Dataset& dataset, const std::vector<int64_t>& documents) {
  return std::any_of(documents.begin(), documents.end(),
                     [&dataset](int64_t index) { return dataset.length(index) > 1; });
}

}  // namespace

absl::Status CheckJobId(absl::string_view job_id) {
  const bool letters = std::all_of(job_id.begin(), job_id.end(), [](unsigned char letter) {
    return absl::ascii_islower(letter) || absl::ascii_isdigit(letter) || letter == '-';
  });
  if (!job_id.empty() && job_id.size() <= 63 && letters && absl::ascii_islower(job_id[0])) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("job_id: \"", job_id.substr(0, 80),
                   "\" is not 1 to 63 lower-case letters, digits and dashes that start with a "
                   "letter"));
}

absl::Status CheckDataset(JobSpec* spec) {
  absl::StatusOr<std::unique_ptr<Dataset>> dataset = Dataset::Open(spec->data.path);
  if (!dataset.ok()) return Annotate(dataset.status(), "data.path");
  const DatasetInfo& info = (*dataset)->info();
  const std::string name = absl::StrCat("data.path: ", spec->data.path);
  if (info.documents == 0) {
    return absl::FailedPreconditionError(absl::StrCat(name, " has no documents"));
  }
  const DatasetSplit split =
      SplitDataset(info.documents, spec->data.validation_fraction, spec->data.seed);
  if (!HasTarget(**dataset, split.training)) {
    return absl::FailedPreconditionError(
        absl::StrCat(name, ": none of the ", split.training.size(),
                     " training documents has two tokens, so there is nothing to predict"));
  }
  if (spec->validation.every > 0 && !HasTarget(**dataset, split.validation)) {
    return absl::FailedPreconditionError(absl::StrCat(
        name, ": none of the ", split.validation.size(),
        " held-out documents has two tokens, so there is nothing to validate on; raise "
        "data.validation_fraction or set validation.every to 0"));
  }
  if (spec->model.vocabulary == 0) spec->model.vocabulary = info.vocabulary;
  if (spec->model.vocabulary < info.vocabulary) {
    return absl::InvalidArgumentError(absl::StrCat(
        "model.vocabulary: ", spec->model.vocabulary, " is not in [", info.vocabulary,
        ", 1000000]; the dataset at data.path holds ", info.vocabulary, " different tokens"));
  }
  return absl::OkStatus();
}

}  // namespace rally
