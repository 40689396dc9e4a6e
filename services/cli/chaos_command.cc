#include "services/cli/chaos_command.h"

#include <algorithm>
#include <csignal>
#include <memory>
#include <random>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/time/clock.h>
#include <google/protobuf/util/message_differencer.h>

#include "common/host.h"
#include "common/status_macros.h"
#include "services/cli/chaos_report.h"
#include "services/cli/chaos_watch.h"
#include "services/cli/job_client.h"
#include "services/cli/job_summary.h"
#include "services/cli/victim.h"
#include "services/coordinator/conditions.h"

namespace rally {
namespace {

constexpr absl::Duration kShortestInterval = absl::Milliseconds(100);
constexpr absl::Duration kShortestPatience = absl::Seconds(1);
constexpr absl::Duration kLongestInterval = absl::Hours(24);
// For a victim to be there: what was killed may be on its way back.
constexpr absl::Duration kVictimPatience = absl::Seconds(30);
constexpr absl::Duration kVictimRetry = absl::Milliseconds(100);
// The first one starts up; from the second on, one knows what a step takes.
constexpr int64_t kStepsBefore = 2;

// Specs without what no loss depends on.
v1::JobSpec Comparable(v1::JobSpec spec) {
  spec.clear_checkpoint();
  spec.clear_priority();
  spec.clear_max_restarts();
  return spec;
}

absl::StatusOr<CalmJob> ReadCalmJob(JobClient* client, const v1::Job& job, const std::string& id) {
  RALLY_ASSIGN_OR_RETURN(const v1::Job calm, client->Get(id));
  const v1::JobStatus& status = calm.status();
  if (status.phase() != v1::JOB_PHASE_SUCCEEDED) {
    return absl::FailedPreconditionError(
        absl::StrCat("--against: job ", id, " is ", PhaseWord(status.phase()), ", not succeeded"));
  }
  if (status.restarts() + status.pool_changes() > 0) {
    return absl::FailedPreconditionError(
        absl::StrCat("--against: job ", id, " was disturbed: ", status.restarts(), " restarts, ",
                     status.pool_changes(), " pool changes"));
  }
  if (!google::protobuf::util::MessageDifferencer::Equals(Comparable(calm.spec()),
                                                          Comparable(job.spec()))) {
    return absl::InvalidArgumentError(
        absl::StrCat("--against: job ", id, " has another job file than ", job.job_id(),
                     "; only checkpoint, priority and max_restarts may differ"));
  }
  CalmJob result;
  result.job_id = id;
  const auto keep = [&result](const v1::JobEvent& event) {
    if (event.has_step()) result.losses[event.step().step()] = event.step().loss();
  };
  RALLY_RETURN_IF_ERROR(
      client->Watch(id, /*after_sequence=*/0, absl::ZeroDuration(), keep).status());
  return result;
}

std::string CostText(const FaultRecord& fault) {
  const auto after = [&fault](const std::optional<absl::Time>& time) {
    return time.has_value() ? absl::StrFormat("%.3f s", absl::ToDoubleSeconds(*time - fault.begin))
                            : "-";
  };
  return absl::StrCat(
      fault.detected.has_value()
          ? absl::StrCat("noticed after ", after(fault.detected), " (", fault.sign, ")")
          : "not noticed",
      ", next step after ", after(fault.recovered));
}

struct Pace {
  absl::Duration every;     // From one fault to the next.
  absl::Duration patience;  // For the job to do what the next fault waits for.
};

// One series of faults, from the first to the last.
class Series {
 public:
  Series(const CommandContext& context, const ChaosOptions& options, const FaultPlan& plan,
         const Pace& pace, const v1::Job& job, JobClient* client, ChaosWatch* watch,
         const Interruption* over)
      : context_(context),
        options_(options),
        plan_(plan),
        pace_(pace),
        job_(job),
        client_(*client),
        watch_(*watch),
        over_(*over),
        random_(options.seed) {}

  // Until all are done and the job goes on, or the watch is over.
  absl::Status Run() {
    const int64_t step = std::max(kStepsBefore, job_.status().step());
    RALLY_ASSIGN_OR_RETURN(bool goes_on, AwaitJob([step](const ChaosLog& log) {
                             return Runs(log) && log.status().step() >= step;
                           }));
    absl::Time next = absl::Now();
    for (int64_t number = 1; goes_on && number <= options_.count; ++number) {
      if (watch_.IsOverBy(next)) break;
      next = absl::Now() + pace_.every;
      RALLY_ASSIGN_OR_RETURN(
          goes_on, AwaitJob([](const ChaosLog& log) { return log.settled() && Runs(log); }));
      if (!goes_on) break;
      RALLY_RETURN_IF_ERROR(Strike(number));
      RALLY_ASSIGN_OR_RETURN(goes_on, AwaitJob([](const ChaosLog& log) { return log.settled(); }));
      if (!goes_on) break;
      Say(absl::StrCat("  ", CostText(watch_.log().faults().back())));
    }
    return watch_.status();
  }

 private:
  static bool Runs(const ChaosLog& log) { return log.status().phase() == v1::JOB_PHASE_RUNNING; }

  // False when the watch is over before the log is as `condition` wants it.
  absl::StatusOr<bool> AwaitJob(const std::function<bool(const ChaosLog&)>& condition) const {
    if (watch_.Await(condition, absl::Now() + pace_.patience)) return true;
    if (watch_.IsOverBy(absl::InfinitePast())) return false;
    return absl::DeadlineExceededError(absl::StrCat(
        "--patience: job ", options_.job_id, ", which is ",
        PhaseWord(watch_.log().status().phase()), ", has not made the steps that were waited for ",
        "within ", absl::FormatDuration(pace_.patience)));
  }

  absl::Status Strike(int64_t number) {
    v1::Process victim;
    RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<Fault> fault, MakeReady(&victim));
    if (fault == nullptr) return absl::OkStatus();  // The watch is over.
    const bool disk = plan_.kind == FaultKind::kFillDisk;
    const std::string whom = disk ? job_.spec().checkpoint().directory() : VictimText(victim);
    Say(absl::StrCat(absl::FormatTime("%H:%M:%E3S", absl::Now(), absl::UTCTimeZone()), "  fault ",
                     number, " of ", options_.count, ": ", FaultText(plan_), ": ", whom));
    watch_.Begin(whom, victim.process_id());
    const absl::Status status = fault->Run(over_);
    watch_.End(fault->respawned());
    return status;
  }

  // Null when the watch is over before there is a victim.
  absl::StatusOr<std::unique_ptr<Fault>> MakeReady(v1::Process* victim) {
    if (plan_.kind == FaultKind::kFillDisk) {
      return MakeDiskFault(plan_, job_.spec().checkpoint().directory());
    }
    const absl::Time deadline = absl::Now() + kVictimPatience;
    while (true) {
      absl::StatusOr<std::unique_ptr<Fault>> fault = MakeReadyOnce(victim);
      if (!absl::IsUnavailable(fault.status()) || absl::Now() >= deadline) return fault;
      if (watch_.IsOverBy(absl::Now() + kVictimRetry)) return nullptr;
    }
  }

  absl::StatusOr<std::unique_ptr<Fault>> MakeReadyOnce(v1::Process* victim) {
    RALLY_ASSIGN_OR_RETURN(const v1::ListProcessesResponse processes,
                           client_.Processes(job_.job_id()));
    RALLY_ASSIGN_OR_RETURN(*victim, ChooseVictim(processes, plan_.role, MachineName(), &random_));
    return MakeProcessFault(plan_, *victim);
  }

  void Say(const std::string& line) { context_.console->err() << line << std::endl; }

  const CommandContext& context_;
  const ChaosOptions& options_;
  const FaultPlan& plan_;
  const Pace pace_;
  const v1::Job& job_;
  JobClient& client_;
  ChaosWatch& watch_;
  const Interruption& over_;
  std::mt19937_64 random_;
};

absl::StatusOr<absl::Duration> IntervalOf(absl::string_view flag, const std::string& text,
                                          absl::Duration shortest) {
  absl::Duration interval;
  if (absl::ParseDuration(text, &interval) && interval >= shortest &&
      interval <= kLongestInterval) {
    return interval;
  }
  return absl::InvalidArgumentError(
      absl::StrCat(flag, ": ", text, " is not a duration in [", absl::FormatDuration(shortest),
                   ", ", absl::FormatDuration(kLongestInterval), "], such as 5s"));
}

absl::StatusOr<Pace> PaceOf(const ChaosOptions& options) {
  Pace pace;
  RALLY_ASSIGN_OR_RETURN(pace.every, IntervalOf("--every", options.every, kShortestInterval));
  RALLY_ASSIGN_OR_RETURN(pace.patience,
                         IntervalOf("--patience", options.patience, kShortestPatience));
  return pace;
}

// Of a job that has ended in another way than by succeeding.
absl::Status EndOf(const std::string& job_id, const v1::JobStatus& status) {
  if (!IsFinal(status.phase()) || status.phase() == v1::JOB_PHASE_SUCCEEDED) {
    return absl::OkStatus();
  }
  return absl::AbortedError(absl::StrCat("job ", job_id, " ", PhaseWord(status.phase())));
}

}  // namespace

absl::Status ChaosCommand(const CommandContext& context, const GlobalOptions& globals,
                          const ChaosOptions& options) {
  RALLY_ASSIGN_OR_RETURN(const FaultPlan plan, PlanFault(options));
  RALLY_ASSIGN_OR_RETURN(const Pace pace, PaceOf(options));
  // No terminal or pipe that closes may end this process while a fault is to be undone.
  for (const int number : {SIGHUP, SIGPIPE}) std::signal(number, SIG_IGN);
  Interruption interruption;
  const SignalGuard guard(context.shutdown, &interruption);
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<JobClient> client,
                         JobClient::Create(globals.coordinator, &interruption, globals.security));
  RALLY_ASSIGN_OR_RETURN(const v1::Job job, client->Get(options.job_id));
  if (IsFinal(job.status().phase())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "--job: ", options.job_id, " has ended: it is ", PhaseWord(job.status().phase())));
  }
  CalmJob calm;
  if (!options.against.empty()) {
    RALLY_ASSIGN_OR_RETURN(calm, ReadCalmJob(client.get(), job, options.against));
  }
  RALLY_ASSIGN_OR_RETURN(const v1::ListProcessesResponse processes,
                         client->Processes(options.job_id));
  const bool same_clock =
      processes.processes_size() > 0 && processes.processes(0).host() == MachineName();
  Interruption watching;
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<JobClient> watcher,
                         JobClient::Create(globals.coordinator, &watching, globals.security));
  ChaosWatch watch(watcher.get(), &watching, &interruption, options.job_id, same_clock);
  absl::Status status =
      Series(context, options, plan, pace, job, client.get(), &watch, &watching).Run();
  if (!interruption.reason().ok()) status = interruption.reason();
  const ChaosLog log = watch.log();
  ChaosReport report = MakeChaosReport(log, options.against.empty() ? nullptr : &calm, absl::Now());
  report.job_id = options.job_id;
  report.what = FaultText(plan);
  context.console->out() << (globals.json ? absl::StrCat(ToJson(report).dump(), "\n")
                                          : ToText(report));
  return status.ok() ? EndOf(options.job_id, log.status()) : status;
}

}  // namespace rally
