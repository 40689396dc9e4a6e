#include "tests/bench/coordinator_bench.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_format.h>
#include <absl/synchronization/notification.h>
#include <absl/time/clock.h>
#include <grpcpp/grpcpp.h>
#include <nlohmann/json.hpp>

#include "common/status_macros.h"
#include "proto/convert.h"
#include "rally/v1/jobs.grpc.pb.h"
#include "tests/bench/bench_coordinator.h"
#include "tests/bench/control_member.h"
#include "tests/bench/latencies.h"

namespace rally::bench {
namespace {

constexpr absl::Duration kCallDeadline = absl::Seconds(30);
constexpr int kMostQueued = 50;  // Submitted jobs that are left in the queue.

// One WatchJob stream.
class Watcher final : public grpc::ClientReadReactor<v1::JobEvent> {
 public:
  Watcher(v1::JobService::Stub* stub, const std::string& job_id) {
    request_.set_job_id(job_id);
    stub->async()->WatchJob(&context_, &request_, this);
    StartRead(&event_);
    StartCall();
  }
  ~Watcher() override {
    context_.TryCancel();
    done_.WaitForNotification();
  }
  void OnReadDone(bool ok) override {
    if (!ok) return;
    ++events_;
    StartRead(&event_);
  }
  void OnDone(const grpc::Status& /*status*/) override { done_.Notify(); }
  int64_t events() const { return events_; }

 private:
  grpc::ClientContext context_;
  v1::WatchJobRequest request_;
  v1::JobEvent event_;
  std::atomic<int64_t> events_ = 0;
  absl::Notification done_;
};

// A thread that does one thing again and again until it is told to stop or an error comes.
class Repeater {
 public:
  Repeater(absl::Duration pause, std::function<absl::Status()> deed)
      : thread_([this, pause, deed = std::move(deed)] {
          while (status_.ok() && !stop_.WaitForNotificationWithTimeout(pause)) status_ = deed();
        }) {}
  ~Repeater() {
    if (thread_.joinable()) Stop().IgnoreError();
  }
  absl::Status Stop() {
    stop_.Notify();
    thread_.join();
    return status_;
  }

 private:
  absl::Notification stop_;
  absl::Status status_;
  std::thread thread_;
};

absl::Status FromGrpc(const grpc::Status& status) {
  return {static_cast<absl::StatusCode>(status.error_code()), status.error_message()};
}

class CoordinatorBench {
 public:
  CoordinatorBench(const CoordinatorBenchOptions& options, BenchCoordinator* coordinator)
      : options_(options),
        coordinator_(*coordinator),
        stub_(v1::JobService::NewStub(
            grpc::CreateChannel(coordinator->address(), grpc::InsecureChannelCredentials()))) {}

  absl::Status Run() {
    StartMembers();
    for (int i = 0; i < options_.jobs; ++i) {
      RALLY_RETURN_IF_ERROR(Submit(absl::StrCat("running-", i), RunningSpec(), nullptr));
    }
    RALLY_RETURN_IF_ERROR(AwaitRunning());
    for (int i = 0; i < options_.watchers; ++i) {
      watchers_.push_back(
          std::make_unique<Watcher>(stub_.get(), absl::StrCat("running-", i % options_.jobs)));
    }
    RALLY_RETURN_IF_ERROR(Measure());
    watchers_.clear();
    beats_.reset();
    for (const auto& member : members_) RALLY_RETURN_IF_ERROR(member->status());
    members_.clear();
    return coordinator_.Stop();
  }

  void Print(std::ostream& out) const {
    const nlohmann::ordered_json json = Json();
    if (options_.json) {
      out << json.dump(2) << "\n";
      return;
    }
    out << absl::StrFormat("%d members in %d jobs, %d watchers, %d stored jobs, %d s, %d rounds\n",
                           options_.members, options_.jobs, options_.watchers, options_.stored_jobs,
                           options_.seconds, times_.rounds());
    for (const char* call : {"submit", "list", "plan", "commit"}) {
      const auto& one = json.at(call);
      out << absl::StrFormat(
          "%-8s %8d calls  p50 %7.2f ms  p99 %7.2f ms  most %7.2f ms\n", call,
          one.at("count").get<int64_t>(), 1e3 * one.at("p50_seconds").get<double>(),
          1e3 * one.at("p99_seconds").get<double>(), 1e3 * one.at("max_seconds").get<double>());
    }
    out << absl::StrFormat("resident %.1f MB, growing by %.1f MB an hour, %.2f cores\n",
                           static_cast<double>(resident_.back()) / 1e6, GrowthPerHour() / 1e6,
                           cores_);
  }

 private:
  void StartMembers() {
    const absl::Duration step = absl::Milliseconds(options_.step_milliseconds);
    const int per_job = options_.members / options_.jobs;
    for (int i = 0; i < options_.members; ++i) {
      const bool server = i % per_job < per_job / 4;
      members_.push_back(std::make_unique<ControlMember>(
          coordinator_.address(), absl::StrCat("member-", i),
          server ? v1::MEMBER_ROLE_ATTENTION : v1::MEMBER_ROLE_MODEL, step, &times_));
    }
    beats_ = std::make_unique<Repeater>(absl::Milliseconds(5), [this] {
      const absl::Time now = absl::Now();
      for (const auto& member : members_) member->Beat(now);
      return absl::OkStatus();
    });
  }

  // A job over its share of the members.
  v1::JobSpec RunningSpec() const {
    const int per_job = options_.members / options_.jobs;
    const int workers = per_job - per_job / 4;
    v1::JobSpec spec = SmallSpec();
    spec.set_workers(workers);
    spec.mutable_attention()->set_dedicated(per_job / 4);
    spec.mutable_batch()->set_chunks(workers);
    spec.mutable_training()->set_steps(1000000);
    return spec;
  }

  v1::JobSpec SmallSpec() const {
    v1::JobSpec spec;
    spec.mutable_data()->set_path(coordinator_.dataset());
    spec.mutable_batch()->set_chunk_tokens(8192);
    return spec;
  }

  absl::Status Submit(const std::string& id, const v1::JobSpec& spec, Latencies* latencies) {
    v1::SubmitJobRequest request;
    request.set_job_id(id);
    *request.mutable_spec() = spec;
    v1::Job job;
    return Call(latencies, [&](grpc::ClientContext* context) {
      return stub_->SubmitJob(context, request, &job);
    });
  }

  static absl::Status Call(Latencies* latencies,
                           const std::function<grpc::Status(grpc::ClientContext*)>& call) {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(absl::Now() + kCallDeadline));
    const absl::Time start = absl::Now();
    const grpc::Status status = call(&context);
    if (latencies != nullptr) latencies->Add(absl::Now() - start);
    return FromGrpc(status);
  }

  // Until every job has made some rounds.
  absl::Status AwaitRunning() {
    for (const absl::Time deadline = absl::Now() + absl::Minutes(2); absl::Now() < deadline;
         absl::SleepFor(absl::Milliseconds(100))) {
      if (times_.rounds() >= 3 * options_.jobs) return absl::OkStatus();
    }
    return absl::DeadlineExceededError("the jobs do not run");
  }

  // Users come and go: a job waits behind those that run, until it is cancelled.
  absl::Status SubmitOne() {
    const int number = submitted_++;
    RALLY_RETURN_IF_ERROR(Submit(absl::StrCat("queued-", number), SmallSpec(), &submit_));
    if (number < kMostQueued) return absl::OkStatus();
    v1::CancelJobRequest request;
    request.set_job_id(absl::StrCat("queued-", number - kMostQueued));
    v1::Job job;
    return Call(nullptr, [&](grpc::ClientContext* context) {
      return stub_->CancelJob(context, request, &job);
    });
  }

  absl::Status ListOnce() {
    v1::ListJobsRequest request;
    const int kind = listed_++ % 3;
    if (kind == 1) request.add_phases(v1::JOB_PHASE_RUNNING);
    if (kind == 2) request.set_id_prefix("no-such-job");
    v1::ListJobsResponse response;
    return Call(&list_, [&](grpc::ClientContext* context) {
      return stub_->ListJobs(context, request, &response);
    });
  }

  absl::Status Measure() {
    Repeater submits(absl::Milliseconds(50), [this] { return SubmitOne(); });
    Repeater lists(absl::Milliseconds(50), [this] { return ListOnce(); });
    const absl::Time begin = absl::Now();
    const double processor = coordinator_.ProcessorSeconds();
    for (int second = 0; second < options_.seconds; ++second) {
      absl::SleepFor(begin + absl::Seconds(second + 1) - absl::Now());
      resident_.push_back(coordinator_.ResidentBytes());
    }
    cores_ = (coordinator_.ProcessorSeconds() - processor) / options_.seconds;
    RALLY_RETURN_IF_ERROR(Annotate(submits.Stop(), "submit"));
    RALLY_RETURN_IF_ERROR(Annotate(lists.Stop(), "list"));
    for (const auto& watcher : watchers_) {
      if (watcher->events() == 0) return absl::InternalError("a watcher has seen nothing");
    }
    return absl::OkStatus();
  }

  // Bytes: the slope of the least-squares line through the second half's samples.
  double GrowthPerHour() const {
    const size_t half = resident_.size() / 2;
    const auto count = static_cast<double>(resident_.size() - half);
    double x = 0.0;
    double y = 0.0;
    double xx = 0.0;
    double xy = 0.0;
    for (size_t i = half; i < resident_.size(); ++i) {
      const auto at = static_cast<double>(i - half);
      const auto bytes = static_cast<double>(resident_[i]);
      x += at;
      y += bytes;
      xx += at * at;
      xy += at * bytes;
    }
    const double spread = count * xx - x * x;
    return spread > 0.0 ? 3600.0 * (count * xy - x * y) / spread : 0.0;
  }

  nlohmann::ordered_json Json() const {
    nlohmann::ordered_json json = {
        {"members", options_.members},   {"jobs", options_.jobs},
        {"watchers", options_.watchers}, {"stored_jobs", options_.stored_jobs},
        {"seconds", options_.seconds},   {"rounds", times_.rounds()}};
    const std::array<std::pair<const char*, const Latencies*>, 4> calls = {{
        {"submit", &submit_},
        {"list", &list_},
        {"plan", &times_.plan()},
        {"commit", &times_.commit()},
    }};
    for (const auto& [name, latencies] : calls) {
      json[name] = {{"count", latencies->count()},
                    {"p50_seconds", latencies->Seconds(0.5)},
                    {"p99_seconds", latencies->Seconds(0.99)},
                    {"max_seconds", latencies->Seconds(1.0)}};
    }
    json["processor_cores"] = cores_;
    json["resident_bytes"] = *std::max_element(resident_.begin(), resident_.end());
    json["growth_bytes_per_hour"] = GrowthPerHour();
    return json;
  }

  const CoordinatorBenchOptions options_;
  BenchCoordinator& coordinator_;
  const std::unique_ptr<v1::JobService::Stub> stub_;
  RoundTimes times_;
  Latencies submit_;
  Latencies list_;
  int submitted_ = 0;
  int listed_ = 0;
  std::vector<int64_t> resident_;  // Every second.
  double cores_ = 0.0;             // That the coordinator kept busy.
  std::vector<std::unique_ptr<ControlMember>> members_;
  std::vector<std::unique_ptr<Watcher>> watchers_;
  std::unique_ptr<Repeater> beats_;
};

}  // namespace

absl::Status RunCoordinatorBench(const CoordinatorBenchOptions& options, std::ostream& out) {
  if (options.members < 4 * options.jobs || options.members % options.jobs != 0) {
    return absl::InvalidArgumentError(absl::StrCat("--members=", options.members,
                                                   ": must be a multiple of --jobs=", options.jobs,
                                                   ", at least 4 a job"));
  }
  RALLY_ASSIGN_OR_RETURN(const std::unique_ptr<BenchCoordinator> coordinator,
                         BenchCoordinator::Start(options.stored_jobs));
  CoordinatorBench bench(options, coordinator.get());
  RALLY_RETURN_IF_ERROR(bench.Run());
  bench.Print(out);
  return absl::OkStatus();
}

}  // namespace rally::bench
