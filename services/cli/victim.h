// Victims of `rally chaos`: which process a fault strikes.
//
// Pure functions, any thread.
#ifndef RALLY_SERVICES_CLI_VICTIM_H_
#define RALLY_SERVICES_CLI_VICTIM_H_

#include <random>
#include <string>

#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>

#include "rally/v1/jobs.pb.h"

namespace rally {

inline constexpr char kRoleWords[] = "attention-server, worker, coordinator";

// InvalidArgument, naming `flag`, when `word` is none of kRoleWords.
absl::StatusOr<v1::ProcessRole> ParseRole(absl::string_view flag, const std::string& word);
absl::string_view RoleWord(v1::ProcessRole role);

// The program that a process of this role runs, without its directory.
absl::string_view ProgramOf(v1::ProcessRole role);

// "attention-1 (process 4242)".
std::string VictimText(const v1::Process& process);

// One of those `processes` that have the role, each as likely as another. Only those on `host` can
// be struck: FailedPrecondition when all are elsewhere, Unavailable when there is none now.
absl::StatusOr<v1::Process> ChooseVictim(const v1::ListProcessesResponse& processes,
                                         v1::ProcessRole role, const std::string& host,
                                         std::mt19937_64* random);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_VICTIM_H_
