#include "services/cli/paced_flags.h"

#include <CLI/CLI.hpp>

#include "common/atomic_file.h"
#include "common/status_macros.h"

namespace rally {

void AddPacedFlags(CLI::App* sub, PacedFlags* flags) {
  sub->add_option("--paced", flags->profile_path,
                  "Emulate devices in the time of this profile instead of training")
      ->type_name("PROFILE");
  sub->add_option("--paced-time-scale", flags->time_scale,
                  "How much slower than the profile's device all runs, default 1")
      ->type_name("X");
  sub->add_option("--paced-message-scale", flags->message_scale,
                  "Part of each message's bytes that is really sent, default 0.01")
      ->type_name("Y");
  sub->add_option("--paced-stages", flags->stages, "Pipeline stages of the workers, default 1")
      ->type_name("P");
}

absl::Status SetPaced(const PacedFlags& flags, v1::JobSpec* spec) {
  if (!flags.profile_path.empty()) {
    absl::StatusOr<std::string> text = ReadFile(flags.profile_path);
    if (!text.ok()) return Annotate(text.status(), "--paced");
    spec->mutable_paced()->set_profile(*std::move(text));
  }
  if (flags.time_scale) spec->mutable_paced()->set_time_scale(*flags.time_scale);
  if (flags.message_scale) spec->mutable_paced()->set_message_scale(*flags.message_scale);
  if (flags.stages) spec->mutable_paced()->set_stages(*flags.stages);
  if (!spec->has_paced() || !spec->paced().profile().empty()) return absl::OkStatus();
  return absl::InvalidArgumentError(
      "--paced: a profile is required with the other --paced flags, such as "
      "examples/profiles/h100.profile");
}

}  // namespace rally
