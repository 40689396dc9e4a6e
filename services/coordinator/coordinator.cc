#include "services/coordinator/coordinator.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iterator>
#include <map>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/health_check_service_interface.h>

#include "common/clock.h"
#include "common/host.h"
#include "common/log.h"
#include "common/status_macros.h"
#include "proto/convert.h"
#include "proto/limits.h"
#include "services/coordinator/authenticator.h"
#include "services/coordinator/change_feed.h"
#include "services/coordinator/cluster_service.h"
#include "services/coordinator/conditions.h"
#include "services/coordinator/coordinator_metrics.h"
#include "services/coordinator/data_roots.h"
#include "services/coordinator/epoch_secret.h"
#include "services/coordinator/event_queue.h"
#include "services/coordinator/http_front_end.h"
#include "services/coordinator/job_board.h"
#include "services/coordinator/job_service.h"
#include "services/coordinator/planner_thread.h"
#include "services/coordinator/store.h"

namespace rally {
namespace {

constexpr absl::Duration kTickInterval = absl::Milliseconds(100);
constexpr absl::Duration kShutdownGrace = absl::Seconds(2);
// Events whose writes share one transaction.
constexpr size_t kMaxBatch = 256;

CoreOptions WithSecrets(CoreOptions options) {
  options.make_secret = MakeEpochSecret;
  return options;
}

class Service final : public Coordinator {
 public:
  Service(const CoordinatorOptions& options, std::unique_ptr<Store> store, DataRoots roots)
      : options_(options),
        store_(std::move(store)),
        core_(WithSecrets(options.core)),
        planner_(Clock::Real(), [this](Event event) { events_.Put(std::move(event)); }),
        cluster_(&events_, options.limits.sessions),
        roots_(std::move(roots)),
        jobs_(&board_, store_.get(), &feed_, &events_, &metrics_, roots_, options.limits) {}

  ~Service() override {
    // From here on nothing is decided any more, so nothing that the end of the sessions looks like
    // is taken for a fault.
    ready_ = false;
    events_.Close();
    if (loop_.joinable()) loop_.join();
    jobs_.Stop();
    cluster_.Stop();
    if (server_ != nullptr) server_->Shutdown(absl::ToChronoTime(absl::Now() + kShutdownGrace));
    if (server_ != nullptr) server_->Wait();
    http_.reset();
  }

  absl::Status Run() {
    RALLY_ASSIGN_OR_RETURN(std::vector<StoredJob> stored, store_->LoadJobs());
    for (StoredJob& job : stored) {
      if (!IsFinal(job.job.status().phase())) {
        job.allowed = Allow(&job.job);
        job.checkpoint_place = ResolvedOrAsItIs(job.job.spec().checkpoint().directory());
      }
      board_.Publish(job.job);
    }
    std::vector<Event> recover;
    recover.push_back(Recover{std::move(stored)});
    RALLY_RETURN_IF_ERROR(Handle(recover));
    const SecurityOptions& security = options_.security;
    RALLY_ASSIGN_OR_RETURN(
        authenticator_,
        Authenticator::Create(security.token_file, !security.tls.ca.empty(), &metrics_));
    RALLY_RETURN_IF_ERROR(StartGrpc());
    const auto ready = [this] {
      return ready_ ? absl::OkStatus() : absl::UnavailableError("starting or stopping");
    };
    RALLY_ASSIGN_OR_RETURN(
        http_, HttpFrontEnd::Start(options_.http, security.tls, authenticator_, &metrics_, ready));
    loop_ = std::thread([this] { Loop(); });
    ready_ = true;
    return absl::OkStatus();
  }

  const ListenAddress& grpc_address() const override { return grpc_address_; }
  const ListenAddress& http_address() const override { return http_->address(); }

 private:
  // A job that was admitted before, under the data roots of now. OK for a spec that makes no sense
  // any more: the core says so.
  absl::Status Allow(v1::Job* job) const {
    absl::StatusOr<JobSpec> spec = FromProto(job->spec());
    if (!spec.ok()) return absl::OkStatus();
    RALLY_RETURN_IF_ERROR(roots_.Confine(&*spec));
    *job->mutable_spec() = ToProto(*spec);
    return absl::OkStatus();
  }

  absl::Status StartGrpc() {
    RALLY_RETURN_IF_ERROR(ProbeListen(options_.grpc));
    RALLY_ASSIGN_OR_RETURN(const std::shared_ptr<grpc::ServerCredentials> credentials,
                           MakeServerCredentials(options_.security.tls));
    // gRPC takes it for connections with TLS only; without TLS nothing is asked of a caller.
    if (!options_.security.tls.cert.empty()) {
      credentials->SetAuthMetadataProcessor(MakeCallGuard(authenticator_));
    }
    grpc::EnableDefaultHealthCheckService(true);
    grpc::reflection::InitProtoReflectionServerBuilderPlugin();
    grpc::ServerBuilder builder;
    grpc_address_ = options_.grpc;
    // Otherwise the kernel lets two coordinators share one port.
    builder.AddChannelArgument(GRPC_ARG_ALLOW_REUSEPORT, 0);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIME_MS, kKeepaliveMilliseconds);
    builder.AddChannelArgument(GRPC_ARG_KEEPALIVE_TIMEOUT_MS, kKeepaliveMilliseconds);
    // Half, since clocks differ and the network bunches.
    builder.AddChannelArgument(GRPC_ARG_HTTP2_MIN_RECV_PING_INTERVAL_WITHOUT_DATA_MS,
                               kKeepaliveMilliseconds / 2);
    builder.SetMaxReceiveMessageSize(static_cast<int>(options_.limits.message_bytes));
    builder.SetMaxSendMessageSize(kMostMessageBytes);
    builder.AddListeningPort(options_.grpc.ToString(), credentials, &grpc_address_.port);
    builder.RegisterService(&jobs_);
    builder.RegisterService(&cluster_);
    server_ = builder.BuildAndStart();
    if (server_ != nullptr) return absl::OkStatus();
    return absl::UnavailableError(absl::StrCat("cannot listen on ", options_.grpc.ToString()));
  }

  void Loop() {
    // The wall clock may be set.
    std::chrono::steady_clock::time_point next_tick = std::chrono::steady_clock::now();
    // Once a tick is due: events that had come before, which it must not overtake. It asks who has
    // been silent.
    std::optional<size_t> ahead;
    while (!events_.closed()) {
      std::vector<Event> batch =
          TakeBatch(absl::FromChrono(next_tick - std::chrono::steady_clock::now()));
      if (ahead.has_value()) {
        *ahead -= std::min(*ahead, batch.size());
      } else if (std::chrono::steady_clock::now() >= next_tick) {
        ahead = events_.size();
      }
      if (ahead == 0u) {
        batch.push_back(Tick{});
        next_tick = std::chrono::steady_clock::now() + absl::ToChronoNanoseconds(kTickInterval);
        ahead.reset();
      }
      const absl::Status status = Handle(batch);
      if (status.ok()) continue;
      RALLY_LOG_ERROR("the store has failed, stopping: {}", std::string(status.message()));
      ready_ = false;
      events_.Close();
      if (options_.on_fatal) options_.on_fatal(status);
    }
  }

  // Waits for the first event until `timeout`; takes what has come by then.
  std::vector<Event> TakeBatch(absl::Duration timeout) {
    std::vector<Event> batch;
    std::optional<Event> event = events_.Take(timeout);
    while (event.has_value()) {
      batch.push_back(*std::move(event));
      if (batch.size() == kMaxBatch) break;
      event = events_.Take(absl::ZeroDuration());
    }
    return batch;
  }

  absl::Status Handle(const std::vector<Event>& batch) {
    std::vector<Action> actions;
    for (const Event& event : batch) {
      const auto* submission = std::get_if<SubmitJob>(&event);
      if (const absl::Status room = RoomFor(submission); !room.ok()) {
        actions.push_back(AnswerRequest{submission->request, room});
        continue;
      }
      std::vector<Action> some = core_.Apply(event, absl::Now());
      std::move(some.begin(), some.end(), std::back_inserter(actions));
    }
    RALLY_RETURN_IF_ERROR(store_->Write(actions));
    for (Action& action : actions) {
      std::visit([this](auto& concrete) { Do(concrete); }, action);
    }
    metrics_.SetCluster(core_.members(), board_.CountByPhase());
    return absl::OkStatus();
  }

  // Whether one job more is too many; null and jobs that are known are always welcome.
  absl::Status RoomFor(const SubmitJob* submission) const {
    const std::map<std::string, JobState>& jobs = core_.jobs();
    if (submission == nullptr || jobs.contains(submission->job_id)) return absl::OkStatus();
    int64_t active = 1;
    auto bytes = static_cast<int64_t>(ToProto(submission->spec).ByteSizeLong());
    for (const auto& [id, state] : jobs) {
      if (IsFinal(state.job.status().phase())) continue;
      ++active;
      bytes += static_cast<int64_t>(state.job.spec().ByteSizeLong());
    }
    RALLY_RETURN_IF_ERROR(CheckLimit("--max-active-jobs", "jobs that have not ended", active,
                                     options_.limits.active_jobs));
    return CheckLimit("--max-active-bytes", "bytes of jobs that have not ended", bytes,
                      options_.limits.active_bytes);
  }

  void Do(const AppendJobEvent& action) {
    if (action.event.has_step()) metrics_.RecordStep(action.job_id, action.event.step());
    if (action.event.has_validation()) {
      metrics_.RecordValidation(action.job_id, action.event.validation());
    }
    feed_.Notify(action.job_id);
  }
  void Do(PersistJob& action) {
    const std::string job_id = action.job.job_id();
    const std::shared_ptr<const v1::Job> previous = board_.Get(job_id);
    const v1::JobPhase phase = action.job.status().phase();
    if (previous == nullptr || previous->status().phase() != phase) {
      RALLY_LOG_INFO("job {}: {}", job_id, v1::JobPhase_Name(phase));
    }
    board_.Publish(std::move(action.job));
    feed_.Notify(job_id);
  }
  void Do(const AppendLogs& action) { feed_.Notify(action.job_id); }
  void Do(const DeleteJob& action) {
    board_.Remove(action.job_id);
    feed_.Notify(action.job_id);
  }
  void Do(const AnswerRequest& action) { jobs_.Answer(action.request, action.answer); }
  void Do(AnswerProcesses& action) {
    if (action.answer.ok()) {
      v1::Process self;
      self.set_role(v1::PROCESS_ROLE_COORDINATOR);
      self.set_host(MachineName());
      self.set_process_id(getpid());
      auto* processes = action.answer->mutable_processes();
      processes->Add(std::move(self));
      std::rotate(processes->begin(), std::prev(processes->end()), processes->end());
    }
    jobs_.Answer(action.request, action.answer);
  }
  void Do(SendToMember& action) { cluster_.Send(action.session, std::move(action.message)); }
  void Do(const CloseSession& action) { cluster_.Close(action.session, action.reason); }
  void Do(RequestPlan& action) { planner_.Request(std::move(action)); }
  void Do(ForgetPlans& action) {
    metrics_.ForgetJob(action.job_id);
    planner_.Forget(std::move(action));
  }

  const CoordinatorOptions options_;
  std::atomic<bool> ready_{false};
  CoordinatorMetrics metrics_;
  const std::unique_ptr<Store> store_;
  JobBoard board_;
  ChangeFeed feed_;
  EventQueue events_;
  CoordinatorCore core_;  // The loop's own, once it runs.
  PlannerThread planner_;
  ClusterServiceImpl cluster_;
  const DataRoots roots_;
  JobServiceImpl jobs_;
  std::shared_ptr<Authenticator> authenticator_;
  ListenAddress grpc_address_;
  std::unique_ptr<grpc::Server> server_;
  std::unique_ptr<HttpFrontEnd> http_;
  std::thread loop_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<Coordinator>> Coordinator::Start(const CoordinatorOptions& options) {
  RALLY_RETURN_IF_ERROR(CheckExposure(options.security, options.grpc, options.http));
  RALLY_RETURN_IF_ERROR(ReadTlsFiles(options.security.tls).status());
  RALLY_ASSIGN_OR_RETURN(DataRoots roots, DataRoots::Create(options.security.data_roots));
  RALLY_ASSIGN_OR_RETURN(std::unique_ptr<Store> store, Store::Open(options.data_directory));
  auto service = std::make_unique<Service>(options, std::move(store), std::move(roots));
  RALLY_RETURN_IF_ERROR(service->Run());
  return std::unique_ptr<Coordinator>(std::move(service));
}

}  // namespace rally
