// ProfileFile: profiles on disk (docs/profile-format.md).
//
// Any thread.
#ifndef RALLY_SERVICES_PROFILE_PROFILE_FILE_H_
#define RALLY_SERVICES_PROFILE_PROFILE_FILE_H_

#include <string>

#include <absl/status/statusor.h>

#include "scheduler/cost_model.h"

namespace rally {

// NotFound or another error when the file cannot be read, InvalidArgument when it is malformed: the
// message begins with the path, then names the line.
absl::StatusOr<CostModel> ReadProfileFile(const std::string& path);

}  // namespace rally

#endif  // RALLY_SERVICES_PROFILE_PROFILE_FILE_H_
