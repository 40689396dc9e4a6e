// Permissions: which role may call what; the one table of it.
//
//   viewer     looks at jobs, their events, logs and metrics
//   submitter  submits and cancels jobs too
//   admin      all that users may, and what describes the service itself
//   member     is a member of the cluster; nothing that users do
//
// What is not in the table nobody may call.
#ifndef RALLY_SERVICES_COORDINATOR_PERMISSIONS_H_
#define RALLY_SERVICES_COORDINATOR_PERMISSIONS_H_

#include <cstdint>
#include <optional>

#include <absl/strings/string_view.h>

namespace rally {

enum class Role : uint8_t { kViewer = 1, kSubmitter = 2, kAdmin = 4, kMember = 8 };

inline constexpr char kRoleNames[] = "viewer, submitter, admin, member";
absl::string_view RoleName(Role role);
std::optional<Role> FindRole(absl::string_view name);

// `method` as gRPC names it, "/package.Service/Method", or the path of an HTTP page.
bool IsKnown(absl::string_view method);
bool MayCall(Role role, absl::string_view method);

}  // namespace rally

#endif  // RALLY_SERVICES_COORDINATOR_PERMISSIONS_H_
