#include <memory>
#include <optional>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <absl/time/time.h>

#include "common/atomic_file.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "services/cli/cluster_commands.h"
#include "services/cli/follow_job.h"
#include "services/cli/job_client.h"
#include "services/cli/job_summary.h"
#include "services/cli/local_cluster.h"
#include "services/cli/run_directory.h"
#include "services/cli/submission.h"
#include "services/coordinator/admission.h"
#include "services/coordinator/conditions.h"

namespace rally {
namespace {

constexpr absl::Duration kStopBound = absl::Seconds(10);
// Beyond the grace period, for the coordinator to report the job's end.
constexpr absl::Duration kCancelMargin = absl::Seconds(5);

// One job on a cluster of its own, from start to end.
class LocalRun {
 public:
  LocalRun(const CommandContext& context, const RunOptions& options, absl::Duration grace,
           v1::SubmitJobRequest request)
      : context_(context),
        options_(options),
        grace_(grace),
        request_(std::move(request)),
        summary_(request_.job_id()) {}

  // Runs the job; the cluster is gone on return.
  absl::Status Run() {
    Interruption interruption;
    const SignalGuard guard(context_.shutdown, &interruption);
    RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<RunDirectory> directory,
                           RunDirectory::Make(options_.run_directory));
    RALLY_RETURN_IF_ERROR(StartCluster(directory->path(), &interruption));
    const absl::Status status = Train(&interruption);
    if (context_.shutdown->requested()) CancelJob();
    cluster_->Stop(kStopBound);
    if (options_.events_path.empty()) return status;
    const absl::Status written = WriteFileAtomically(options_.events_path, events_);
    return status.ok() ? written : status;
  }

  const JobSummary& summary() const { return summary_; }

 private:
  absl::Status StartCluster(const std::string& run_directory, Interruption* interruption) {
    RALLY_ASSIGN_OR_RETURN(const JobSpec spec, FromProto(request_.spec()));
    LocalClusterOptions cluster;
    cluster.program_directory = context_.program_directory;
    cluster.run_directory = run_directory;
    cluster.workers = spec.workers;
    cluster.attention_servers = spec.attention.dedicated;
    cluster.threads = options_.threads;
    context_.console->err() << "starting a coordinator, " << cluster.workers << " worker(s) and "
                            << cluster.attention_servers << " attention server(s)" << std::endl;
    // A local cluster has no spare member: without one of its own the job cannot go on.
    const auto on_death = [interruption](const absl::Status& why, bool) {
      interruption->Interrupt(why);
    };
    RALLY_ASSIGN_OR_RETURN(cluster_, LocalCluster::Start(cluster, interruption, on_death));
    return absl::OkStatus();
  }

  absl::Status Train(Interruption* interruption) {
    RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<JobClient> client,
                           JobClient::Create(cluster_->address(), interruption));
    RALLY_RETURN_IF_ERROR(client->Submit(request_).status());
    submitted_ = true;
    return Follow(client.get());
  }

  absl::Status Follow(JobClient* client) {
    return FollowJob(client, context_.console, &summary_, [this](const v1::JobEvent& event) {
      if (!options_.events_path.empty()) absl::StrAppend(&events_, ToJsonLine(event), "\n");
    });
  }

  // Lets the job write its checkpoint before the cluster goes; best effort, within the grace.
  void CancelJob() {
    if (!submitted_ || IsFinal(summary_.status().phase())) return;
    context_.console->err() << "stopping the job; Ctrl-C again ends at once" << std::endl;
    Interruption never;
    const absl::StatusOr<std::unique_ptr<JobClient>> client =
        JobClient::Create(cluster_->address(), &never);
    if (!client.ok()) return;
    (*client)->set_deadline(absl::Now() + grace_ + kCancelMargin);
    v1::CancelJobRequest request;
    request.set_job_id(request_.job_id());
    *request.mutable_grace_period() = ToProto(grace_);
    if (!(*client)->Cancel(request).ok()) return;
    Follow(client->get()).IgnoreError();
  }

  const CommandContext& context_;
  const RunOptions& options_;
  const absl::Duration grace_;
  const v1::SubmitJobRequest request_;
  std::unique_ptr<LocalCluster> cluster_;
  JobSummary summary_;
  std::string events_;
  bool submitted_ = false;
};

}  // namespace

absl::Status RunCommand(const CommandContext& context, const GlobalOptions& globals,
                        const RunOptions& options) {
  absl::Duration grace;
  if (!absl::ParseDuration(options.grace, &grace) || grace < absl::ZeroDuration() ||
      grace > absl::Hours(1)) {
    return absl::InvalidArgumentError(
        absl::StrCat("--grace: ", options.grace, " is not a duration in [0s, 1h], such as 30s"));
  }
  RALLY_ASSIGN_OR_RETURN(v1::SubmitJobRequest request,
                         MakeSubmission(options.job_path, options.id, absl::Now()));
  RALLY_RETURN_IF_ERROR(SetPaced(options.paced, request.mutable_spec()));
  const std::string dataset = request.spec().data().path();
  // What cannot work is said before anything is started.
  RALLY_ASSIGN_OR_RETURN(JobSpec spec, FromProto(request.spec()));
  RALLY_RETURN_IF_ERROR(Annotate(CheckDataset(&spec), options.job_path));
  LocalRun run(context, options, grace, std::move(request));
  const absl::Status status = run.Run();
  if (!run.summary().last_step().has_value() && !status.ok()) return status;
  const absl::StatusOr<std::optional<double>> entropy = BigramEntropyOf(dataset, *context.shutdown);
  const std::optional<double> known = entropy.value_or(std::nullopt);
  const std::string json = absl::StrCat(run.summary().ToJson(known).dump(), "\n");
  context.console->out() << (globals.json ? json : run.summary().ToText(known));
  if (!options.summary_path.empty()) {
    RALLY_RETURN_IF_ERROR(WriteFileAtomically(options.summary_path, json));
  }
  return status.ok() ? entropy.status() : status;
}

}  // namespace rally
