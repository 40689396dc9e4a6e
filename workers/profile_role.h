// ProfileRole: rally-worker as a measuring instrument: it reads a request, measures, writes the
// profile and ends.
//
// Call on the main thread, before the process has compute threads.
#ifndef RALLY_WORKERS_PROFILE_ROLE_H_
#define RALLY_WORKERS_PROFILE_ROLE_H_

#include <string>

#include <absl/status/status.h>

namespace rally {

// `request_path` holds a rally.v1.ProfileRequest in JSON. Its output is written whole or not at
// all; what is being measured goes to standard error, a line per part. InvalidArgument names the
// field of the request that is wrong.
absl::Status RunProfile(const std::string& request_path);

}  // namespace rally

#endif  // RALLY_WORKERS_PROFILE_ROLE_H_
