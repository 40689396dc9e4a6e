#include "services/cli/job_text.h"

#include <algorithm>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>

#include "proto/convert.h"
#include "services/cli/job_summary.h"
#include "services/cli/progress.h"
#include "services/job_file/job_file.h"

namespace rally {
namespace {

std::string Ago(const google::protobuf::Timestamp& time, absl::Time now) {
  return absl::StrCat(ShortDuration(now - FromProto(time)), " ago");
}

std::string LossOf(const v1::JobStatus& status) {
  return status.has_last_step() ? absl::StrFormat("%.4f", status.last_step().loss()) : "-";
}

}  // namespace

std::string JobTable(const v1::ListJobsResponse& jobs, absl::Time now) {
  int width = 2;
  for (const v1::Job& job : jobs.jobs()) width = std::max<int>(width, job.job_id().size());
  std::string text = absl::StrFormat("%-*s  %-9s  %13s  %8s  %s\n", width, "ID", "PHASE", "STEP",
                                     "LOSS", "CREATED");
  for (const v1::Job& job : jobs.jobs()) {
    const v1::JobStatus& status = job.status();
    absl::StrAppendFormat(&text, "%-*s  %-9s  %13s  %8s  %s\n", width, job.job_id(),
                          PhaseWord(status.phase()),
                          absl::StrCat(status.step(), "/", status.total_steps()), LossOf(status),
                          Ago(job.create_time(), now));
  }
  return text;
}

std::string JobDetails(const v1::Job& job, absl::Time now) {
  const v1::JobStatus& status = job.status();
  std::string text =
      absl::StrFormat("job         %s\nphase       %s\nstep        %d of %d\n", job.job_id(),
                      PhaseWord(status.phase()), status.step(), status.total_steps());
  if (status.has_last_step()) absl::StrAppend(&text, "loss        ", LossOf(status), "\n");
  if (status.has_last_validation()) {
    absl::StrAppendFormat(&text, "held-out    %.4f at step %d\n", status.last_validation().loss(),
                          status.last_validation().step());
  }
  absl::StrAppend(&text, "restarts    ", status.restarts(), "\n");
  absl::StrAppend(&text, "checkpoint  ", status.checkpoint().empty() ? "-" : status.checkpoint(),
                  "\n");
  absl::StrAppend(&text, "created     ", Ago(job.create_time(), now), "\n");
  if (job.has_end_time()) absl::StrAppend(&text, "ended       ", Ago(job.end_time(), now), "\n");
  if (status.conditions_size() > 0) absl::StrAppend(&text, "conditions\n");
  for (const v1::Condition& condition : status.conditions()) {
    const char* mark = condition.status() == v1::CONDITION_STATUS_TRUE    ? "yes"
                       : condition.status() == v1::CONDITION_STATUS_FALSE ? "no"
                                                                          : "?";
    absl::StrAppendFormat(&text, "  %-16s %-4s %s: %s\n", condition.type(), mark,
                          condition.reason(), condition.message());
  }
  return absl::StrCat(text, "job file\n\n", FormatJobFile(job.spec(), job.job_id()));
}

std::string LogText(const v1::LogLine& line) {
  const std::string time =
      absl::FormatTime("%Y-%m-%dT%H:%M:%E3SZ", FromProto(line.time()), absl::UTCTimeZone());
  return absl::StrCat(time, " rank ", line.rank(), " ", line.severity(), " ", line.text());
}

}  // namespace rally
