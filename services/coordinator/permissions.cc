#include "services/coordinator/permissions.h"

#include <algorithm>
#include <iterator>

namespace rally {
namespace {

using Roles = uint8_t;  // A set.

constexpr Roles operator|(Role left, Role right) {
  return static_cast<Roles>(left) | static_cast<Roles>(right);
}
constexpr Roles kSubmitters = Role::kSubmitter | Role::kAdmin;
constexpr Roles kUsers = kSubmitters | static_cast<Roles>(Role::kViewer);
constexpr Roles kAdmins = static_cast<Roles>(Role::kAdmin);
constexpr Roles kMembers = static_cast<Roles>(Role::kMember);
constexpr Roles kEverybody = kUsers | kMembers;

struct Permission {
  absl::string_view method;
  Roles roles;
};

constexpr Permission kPermissions[] = {
    {"/rally.v1.JobService/SubmitJob", kSubmitters},
    {"/rally.v1.JobService/CancelJob", kSubmitters},
    {"/rally.v1.JobService/GetJob", kUsers},
    {"/rally.v1.JobService/ListJobs", kUsers},
    {"/rally.v1.JobService/WatchJob", kUsers},
    {"/rally.v1.JobService/StreamLogs", kUsers},
    {"/rally.v1.JobService/ListProcesses", kAdmins},
    {"/rally.v1.ClusterService/Session", kMembers},
    {"/grpc.health.v1.Health/Check", kEverybody},
    {"/grpc.health.v1.Health/Watch", kEverybody},
    {"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", kAdmins},
    {"/metrics", kUsers},
    {"/healthz", kEverybody},
    {"/readyz", kEverybody},
};

struct NamedRole {
  absl::string_view name;
  Role role;
};

constexpr NamedRole kRoles[] = {{"viewer", Role::kViewer},
                                {"submitter", Role::kSubmitter},
                                {"admin", Role::kAdmin},
                                {"member", Role::kMember}};

const Permission* Find(absl::string_view method) {
  const auto* found =
      std::find_if(std::begin(kPermissions), std::end(kPermissions),
                   [method](const Permission& permission) { return permission.method == method; });
  return found == std::end(kPermissions) ? nullptr : found;
}

}  // namespace

absl::string_view RoleName(Role role) {
  return std::find_if(std::begin(kRoles), std::end(kRoles),
                      [role](const NamedRole& named) { return named.role == role; })
      ->name;
}

std::optional<Role> FindRole(absl::string_view name) {
  for (const NamedRole& named : kRoles) {
    if (named.name == name) return named.role;
  }
  return std::nullopt;
}

bool IsKnown(absl::string_view method) { return Find(method) != nullptr; }

bool MayCall(Role role, absl::string_view method) {
  const Permission* permission = Find(method);
  return permission != nullptr && (permission->roles & static_cast<Roles>(role)) != 0;
}

}  // namespace rally
