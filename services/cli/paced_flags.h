// PacedFlags: the flags of `rally run` that turn a job into a paced one.
//
// Any thread.
#ifndef RALLY_SERVICES_CLI_PACED_FLAGS_H_
#define RALLY_SERVICES_CLI_PACED_FLAGS_H_

#include <cstdint>
#include <optional>
#include <string>

#include <absl/status/status.h>

#include "rally/v1/spec.pb.h"

namespace CLI {
class App;
}  // namespace CLI

namespace rally {

// What is absent stays as the job file has it.
struct PacedFlags {
  std::string profile_path;
  std::optional<double> time_scale;
  std::optional<double> message_scale;
  std::optional<int32_t> stages;
};

void AddPacedFlags(CLI::App* sub, PacedFlags* flags);

// Sets the fields that the flags name, the profile as the text of its file; ranges are FromProto's
// to check. Errors name the flag.
absl::Status SetPaced(const PacedFlags& flags, v1::JobSpec* spec);

}  // namespace rally

#endif  // RALLY_SERVICES_CLI_PACED_FLAGS_H_
