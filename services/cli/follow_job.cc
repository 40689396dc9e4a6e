#include "services/cli/follow_job.h"

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/status_macros.h"
#include "services/cli/progress.h"

namespace rally {
namespace {

constexpr absl::Duration kLineInterval = absl::Seconds(5);
constexpr absl::Duration kPatience = absl::Seconds(60);  // For a coordinator that restarts.

}  // namespace

void ProgressPrinter::Show(const JobSummary& summary, const v1::JobEvent& event) {
  if (console_.live()) {
    console_.ShowLive(ProgressLine(summary, console_.width()));
    return;
  }
  const absl::Time now = absl::Now();
  const bool new_phase = summary.status().phase() != phase_;
  if (!new_phase && !event.has_validation() && (!event.has_step() || now < next_line_)) return;
  phase_ = summary.status().phase();
  if (event.has_step()) next_line_ = now + kLineInterval;
  console_.err() << ProgressLine(summary, /*width=*/0) << std::endl;
}

absl::Status FollowJob(JobClient* client, Console* console, JobSummary* summary,
                       const std::function<void(const v1::JobEvent&)>& on_event) {
  ProgressPrinter printer(console);
  const absl::StatusOr<v1::JobPhase> phase = client->Watch(
      summary->job_id(), summary->sequence(), kPatience, [&](const v1::JobEvent& event) {
        summary->Add(event);
        printer.Show(*summary, event);
        if (on_event != nullptr) on_event(event);
      });
  printer.Finish();
  RALLY_RETURN_IF_ERROR(phase.status());
  if (*phase == v1::JOB_PHASE_SUCCEEDED) return absl::OkStatus();
  const std::string reason = summary->reason();
  return absl::AbortedError(absl::StrCat("job ", summary->job_id(), " ", PhaseWord(*phase),
                                         reason.empty() ? "" : ": ", reason));
}

}  // namespace rally
