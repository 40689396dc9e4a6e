#include "services/cli/victim.h"

#include <cstddef>
#include <iterator>
#include <set>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>

#include "common/check.h"

namespace rally {
namespace {

struct RoleName {
  v1::ProcessRole role;
  absl::string_view word;
  absl::string_view program;
};

constexpr RoleName kRoles[] = {
    {v1::PROCESS_ROLE_ATTENTION_SERVER, "attention-server", "rally-worker"},
    {v1::PROCESS_ROLE_WORKER, "worker", "rally-worker"},
    {v1::PROCESS_ROLE_COORDINATOR, "coordinator", "rally-coordinator"}};

const RoleName& Find(v1::ProcessRole role) {
  for (const RoleName& name : kRoles) {
    if (name.role == role) return name;
  }
  RALLY_CHECK(false, "a process without a role");
  return kRoles[0];
}

}  // namespace

absl::StatusOr<v1::ProcessRole> ParseRole(absl::string_view flag, const std::string& word) {
  for (const RoleName& name : kRoles) {
    if (name.word == word) return name.role;
  }
  return absl::InvalidArgumentError(absl::StrCat(flag, ": ", word, " is not one of ", kRoleWords));
}

absl::string_view RoleWord(v1::ProcessRole role) { return Find(role).word; }

absl::string_view ProgramOf(v1::ProcessRole role) { return Find(role).program; }

std::string VictimText(const v1::Process& process) {
  const bool member = process.role() != v1::PROCESS_ROLE_COORDINATOR;
  return absl::StrCat(member ? process.member_id() : "coordinator", " (process ",
                      process.process_id(), ")");
}

absl::StatusOr<v1::Process> ChooseVictim(const v1::ListProcessesResponse& processes,
                                         v1::ProcessRole role, const std::string& host,
                                         std::mt19937_64* random) {
  std::vector<const v1::Process*> here;
  std::set<std::string> elsewhere;
  for (const v1::Process& process : processes.processes()) {
    if (process.role() != role) continue;
    if (process.host() == host) {
      here.push_back(&process);
    } else {
      elsewhere.insert(process.host());
    }
  }
  if (!here.empty()) {
    std::uniform_int_distribution<size_t> any(0, here.size() - 1);
    return *here[any(*random)];
  }
  if (elsewhere.empty()) {
    return absl::UnavailableError(absl::StrCat("the job has no ", RoleWord(role), " now"));
  }
  return absl::FailedPreconditionError(absl::StrCat(
      "every ", RoleWord(role), " of the job runs on another host (",
      absl::StrJoin(elsewhere, ", "), "), this one is ", host, "; run `rally chaos` there"));
}

}  // namespace rally
