#include "workers/profile_role.h"

#include <iostream>

#include <absl/strings/str_cat.h>
#include <google/protobuf/util/json_util.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "rally/v1/profile.pb.h"
#include "workers/profile/machine_profile.h"

namespace rally {
namespace {

constexpr int32_t kMost = 4096;

absl::Status CheckCount(absl::string_view field, int32_t value) {
  if (value >= 1 && value <= kMost) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, " is not in [1, ", kMost, "]"));
}

absl::StatusOr<v1::ProfileRequest> ReadRequest(const std::string& path) {
  RALLY_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  v1::ProfileRequest request;
  const auto parsed = google::protobuf::util::JsonStringToMessage(text, &request);
  if (!parsed.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", parsed.message().ToString()));
  }
  return request;
}

absl::StatusOr<MachineProfileOptions> OptionsOf(const v1::ProfileRequest& request) {
  MachineProfileOptions options;
  RALLY_ASSIGN_OR_RETURN(options.spec, FromProto(request.spec()));
  if (options.spec.model.vocabulary < 1) {
    return absl::InvalidArgumentError("spec.model.vocabulary: is required");
  }
  RALLY_RETURN_IF_ERROR(CheckCount("threads", request.threads()));
  RALLY_RETURN_IF_ERROR(CheckCount("processes", request.processes()));
  if (!(request.across_nodes() >= 0.0)) {
    return absl::InvalidArgumentError(
        absl::StrCat("across_nodes: ", request.across_nodes(), " is negative"));
  }
  if (request.output().empty()) return absl::InvalidArgumentError("output: is required");
  options.name = request.name();
  options.threads = request.threads();
  options.processes = request.processes();
  options.quick = request.quick();
  options.across_nodes = request.across_nodes();
  return options;
}

}  // namespace

absl::Status RunProfile(const std::string& request_path) {
  RALLY_ASSIGN_OR_RETURN(const v1::ProfileRequest request, ReadRequest(request_path));
  RALLY_ASSIGN_OR_RETURN(const MachineProfileOptions options, OptionsOf(request));
  const auto progress = [](const std::string& part) {
    std::cerr << "measuring " << part << std::endl;
  };
  RALLY_ASSIGN_OR_RETURN(const Profile profile, MeasureMachine(options, progress));
  return WriteFileAtomically(request.output(), FormatProfile(profile));
}

}  // namespace rally
