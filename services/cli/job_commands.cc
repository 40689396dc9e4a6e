#include "services/cli/job_commands.h"

#include <memory>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_join.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "common/status_macros.h"
#include "proto/convert.h"
#include "services/cli/follow_job.h"
#include "services/cli/job_client.h"
#include "services/cli/job_summary.h"
#include "services/cli/job_text.h"
#include "services/cli/submission.h"
#include "services/coordinator/conditions.h"
#include "services/job_file/job_file.h"

namespace rally {
namespace {

constexpr absl::Duration kLongestGrace = absl::Hours(1);
constexpr absl::Duration kPatience = absl::Seconds(60);

// A client whose calls end at Ctrl-C.
class Session {
 public:
  explicit Session(const CommandContext& context) : guard_(context.shutdown, &interruption_) {}

  absl::Status Open(const GlobalOptions& globals) {
    RALLY_ASSIGN_OR_RETURN(
        client_, JobClient::Create(globals.coordinator, &interruption_, globals.security));
    return absl::OkStatus();
  }
  JobClient* operator->() { return client_.get(); }
  JobClient* client() { return client_.get(); }

 private:
  Interruption interruption_;
  SignalGuard guard_;
  std::unique_ptr<JobClient> client_;
};

// Ctrl-C ends the watching, not the job: says so.
absl::Status WhileItGoesOn(const absl::Status& status, const std::string& id) {
  if (!absl::IsCancelled(status)) return status;
  return absl::CancelledError(absl::StrCat(status.message(), "; job ", id,
                                           " goes on: `rally watch ", id,
                                           "` follows it, `rally cancel ", id, "` stops it"));
}

// Follows the job that was just submitted and ends with its summary.
absl::Status FollowSubmitted(const CommandContext& context, const GlobalOptions& globals,
                             const v1::Job& job, JobClient* client) {
  JobSummary summary(job.job_id());
  const absl::Status status = FollowJob(client, context.console, &summary, nullptr);
  if (!status.ok() && !absl::IsAborted(status)) return WhileItGoesOn(status, job.job_id());
  const absl::StatusOr<std::optional<double>> entropy =
      BigramEntropyOf(job.spec().data().path(), *context.shutdown);
  const std::optional<double> known = entropy.value_or(std::nullopt);
  context.console->out() << (globals.json ? absl::StrCat(summary.ToJson(known).dump(), "\n")
                                          : summary.ToText(known));
  return status.ok() ? entropy.status() : status;
}

absl::StatusOr<v1::JobPhase> ParsePhase(const std::string& word) {
  std::vector<std::string> known;
  for (int phase = v1::JOB_PHASE_QUEUED; phase <= v1::JobPhase_MAX; ++phase) {
    known.push_back(PhaseWord(static_cast<v1::JobPhase>(phase)));
    if (known.back() == word) return static_cast<v1::JobPhase>(phase);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("--phase: ", word, " is not one of ", absl::StrJoin(known, ", ")));
}

}  // namespace

absl::Status SubmitCommand(const CommandContext& context, const GlobalOptions& globals,
                           const SubmitOptions& options) {
  RALLY_ASSIGN_OR_RETURN(v1::SubmitJobRequest request,
                         MakeSubmission(options.job_path, options.id, absl::Now()));
  request.set_validate_only(options.validate_only);
  Session session(context);
  RALLY_RETURN_IF_ERROR(session.Open(globals));
  RALLY_ASSIGN_OR_RETURN(const v1::Job job, session->Submit(request));
  if (options.watch && !options.validate_only) {
    return FollowSubmitted(context, globals, job, session.client());
  }
  if (globals.json) {
    context.console->out() << ToJsonLine(job) << "\n";
  } else if (options.validate_only) {
    context.console->out() << options.job_path << " is a valid job\n";
  } else {
    context.console->out() << "submitted job " << job.job_id() << "; follow it with `rally watch "
                           << job.job_id() << "`\n";
  }
  return absl::OkStatus();
}

absl::Status ListCommand(const CommandContext& context, const GlobalOptions& globals,
                         const ListOptions& options) {
  v1::ListJobsRequest request;
  for (const std::string& word : options.phases) {
    RALLY_ASSIGN_OR_RETURN(const v1::JobPhase phase, ParsePhase(word));
    request.add_phases(phase);
  }
  request.set_id_prefix(options.id_prefix);
  Session session(context);
  RALLY_RETURN_IF_ERROR(session.Open(globals));
  RALLY_ASSIGN_OR_RETURN(const v1::ListJobsResponse jobs, session->List(request));
  context.console->out() << (globals.json ? absl::StrCat(ToJsonLine(jobs), "\n")
                                          : JobTable(jobs, absl::Now()));
  return absl::OkStatus();
}

absl::Status GetCommand(const CommandContext& context, const GlobalOptions& globals,
                        const GetOptions& options) {
  Session session(context);
  RALLY_RETURN_IF_ERROR(session.Open(globals));
  RALLY_ASSIGN_OR_RETURN(const v1::Job job, session->Get(options.id));
  if (globals.json) {
    context.console->out() << ToJsonLine(job) << "\n";
  } else if (options.yaml) {
    context.console->out() << FormatJobFile(job.spec(), job.job_id());
  } else {
    context.console->out() << JobDetails(job, absl::Now());
  }
  return absl::OkStatus();
}

absl::Status WatchCommand(const CommandContext& context, const GlobalOptions& globals,
                          const WatchOptions& options) {
  Session session(context);
  RALLY_RETURN_IF_ERROR(session.Open(globals));
  if (!globals.json) {
    JobSummary summary(options.id);
    const absl::Status status = FollowJob(session.client(), context.console, &summary, nullptr);
    if (status.ok()) context.console->out() << summary.ToText(std::nullopt);
    return WhileItGoesOn(status, options.id);
  }
  RALLY_ASSIGN_OR_RETURN(
      const v1::JobPhase phase,
      session->Watch(options.id, options.after, kPatience, [&](const v1::JobEvent& event) {
        context.console->out() << ToJsonLine(event) << std::endl;
      }));
  if (phase == v1::JOB_PHASE_SUCCEEDED) return absl::OkStatus();
  return absl::AbortedError(absl::StrCat("job ", options.id, " ", PhaseWord(phase)));
}

absl::Status LogsCommand(const CommandContext& context, const GlobalOptions& globals,
                         const LogsOptions& options) {
  v1::StreamLogsRequest request;
  request.set_job_id(options.id);
  request.set_follow(options.follow);
  if (options.rank.has_value()) request.set_rank(*options.rank);
  Session session(context);
  RALLY_RETURN_IF_ERROR(session.Open(globals));
  return session->Logs(request, [&](const v1::LogLine& line) {
    context.console->out() << (globals.json ? ToJsonLine(line) : LogText(line)) << std::endl;
  });
}

absl::Status CancelCommand(const CommandContext& context, const GlobalOptions& globals,
                           const CancelOptions& options) {
  absl::Duration grace;
  if (!absl::ParseDuration(options.grace, &grace) || grace < absl::ZeroDuration() ||
      grace > kLongestGrace) {
    return absl::InvalidArgumentError(
        absl::StrCat("--grace: ", options.grace, " is not a duration in [0s, 1h], such as 30s"));
  }
  v1::CancelJobRequest request;
  request.set_job_id(options.id);
  *request.mutable_grace_period() = ToProto(grace);
  Session session(context);
  RALLY_RETURN_IF_ERROR(session.Open(globals));
  RALLY_ASSIGN_OR_RETURN(const v1::Job job, session->Cancel(request));
  if (globals.json) {
    context.console->out() << ToJsonLine(job) << "\n";
  } else {
    context.console->out() << "job " << job.job_id() << " is "
                           << (IsFinal(job.status().phase()) ? "" : "stopping; it is still ")
                           << PhaseWord(job.status().phase()) << "\n";
  }
  return absl::OkStatus();
}

}  // namespace rally
