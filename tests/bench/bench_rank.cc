#include "tests/bench/bench_rank.h"

#include <sched.h>

#include <memory>
#include <random>
#include <string>
#include <utility>

#include <absl/time/clock.h>

#include "common/status_macros.h"
#include "proto/convert.h"
#include "rally/v1/cluster.pb.h"
#include "tests/bench/made_up_tokens.h"
#include "tests/bench/pipe_message.h"
#include "workers/attention/attention_server.h"
#include "workers/model/trainer.h"
#include "workers/transport/delayed_transport.h"
#include "workers/transport/ucx_transport.h"

namespace rally::bench {
namespace {

constexpr absl::Duration kTimeout = absl::Minutes(2);

absl::Status SendAnswer(int fd, const v1::MemberMessage& message) {
  return WritePipeMessage(fd, message.SerializeAsString());
}

class BenchRank {
 public:
  BenchRank(int fd, int32_t rank, const RankGroupOptions& options)
      : fd_(fd), rank_(rank), options_(options) {}

  absl::Status Run() {
    RALLY_RETURN_IF_ERROR(Pin());
    RALLY_RETURN_IF_ERROR(Prepare());
    RALLY_RETURN_IF_ERROR(Connect());
    for (;;) {
      RALLY_ASSIGN_OR_RETURN(const v1::CoordinatorMessage message, Receive());
      if (!message.has_plan()) return absl::OkStatus();
      RALLY_ASSIGN_OR_RETURN(Plan plan, FromProto(message.plan().plan()));
      RALLY_RETURN_IF_ERROR(RunRound(std::make_shared<const Plan>(std::move(plan))));
    }
  }

 private:
  bool is_worker() const { return rank_ < options_.spec.workers; }

  absl::Status Pin() {
    if (options_.cpus.empty()) return absl::OkStatus();
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(options_.cpus[static_cast<size_t>(rank_)], &set);
    if (sched_setaffinity(0, sizeof(set), &set) != 0) {
      return absl::ErrnoToStatus(errno, "sched_setaffinity");
    }
    return absl::OkStatus();
  }

  absl::Status Prepare() {
    PrepareProcessForTraining();
    UcxOptions ucx{.rank = rank_, .ranks = options_.spec.topology().ranks()};
    RALLY_ASSIGN_OR_RETURN(transport_, MakeUcxTransport(ucx));
    if (options_.message_delay > absl::ZeroDuration()) {
      transport_ = MakeDelayedTransport(std::move(transport_), options_.message_delay);
    }
    v1::MemberMessage message;
    v1::Prepared& prepared = *message.mutable_prepared();
    prepared.set_transport_address(transport_->address());
    if (rank_ == 0) {
      RALLY_ASSIGN_OR_RETURN(rendezvous_, MakeRendezvous("127.0.0.1"));
      prepared.set_rendezvous(rendezvous_->endpoint());
    }
    return SendAnswer(fd_, message);
  }

  absl::Status Connect() {
    RALLY_ASSIGN_OR_RETURN(const v1::CoordinatorMessage message, Receive());
    const auto& connect = message.connect();
    const std::vector<std::string> addresses(connect.transport_addresses().begin(),
                                             connect.transport_addresses().end());
    RALLY_RETURN_IF_ERROR(transport_->Connect(addresses, ""));
    if (options_.paced) {
      kernel_ = MakePacedKernel(*options_.paced);
    } else {
      RALLY_ASSIGN_OR_RETURN(kernel_, MakeCpuAttentionKernel({.threads = 1}));
    }
    AttentionServerOptions server;
    server.shape = options_.spec.model;
    server.element = options_.spec.attention_element();
    server.phase_timeout = kTimeout;
    server_ = MakeAttentionServer(server, transport_.get(), kernel_.get(), &pool_);
    if (is_worker()) RALLY_RETURN_IF_ERROR(MakeWorker(connect.rendezvous()));
    v1::MemberMessage ready;
    ready.mutable_ready();
    return SendAnswer(fd_, ready);
  }

  absl::Status MakeWorker(const std::string& rendezvous) {
    RALLY_ASSIGN_OR_RETURN(collective_,
                           MakeCollective(rank_, options_.spec.workers, rendezvous, kTimeout));
    TrainerOptions trainer;
    trainer.spec = options_.spec;
    trainer.rank = rank_;
    trainer.threads = 1;
    trainer.phase_timeout = kTimeout;
    InPlaceService service;
    service.begin_step = [this](std::shared_ptr<const Plan> plan,
                                const CollectedPhases& collected) {
      return server_->BeginStep(std::move(plan), collected);
    };
    service.post_phase = [this](const Phase& phase) { return server_->PostPhase(phase); };
    service.serve_phase = [this](const Phase& phase) { return server_->ServePhase(phase); };
    const int64_t vocabulary = options_.spec.model.vocabulary;
    ReadTokens read = [vocabulary](int64_t source, int64_t begin, absl::Span<int32_t> out) {
      MakeUpTokens(vocabulary, source, begin, out);
      return absl::OkStatus();
    };
    RALLY_ASSIGN_OR_RETURN(
        trainer_, MakeTrainer(trainer, transport_.get(), &pool_, collective_.get(), std::move(read),
                              std::move(service)));
    return absl::OkStatus();
  }

  absl::Status RunRound(std::shared_ptr<const Plan> plan) {
    v1::MemberMessage message;
    v1::RoundDone& done = *message.mutable_round_done();
    if (is_worker()) {
      RALLY_ASSIGN_OR_RETURN(const RoundResult result, trainer_->RunRound(plan));
      // The trainer does not see what its in-place service waits for.
      const absl::Duration served = server_->stats().waiting;
      *done.mutable_compute() = ToProto(result.compute - served);
      *done.mutable_waiting() = ToProto(result.waiting + served);
      done.set_loss(result.loss);
      RALLY_RETURN_IF_ERROR(trainer_->Commit());
    } else {
      RALLY_RETURN_IF_ERROR(server_->BeginStep(plan));
      RALLY_RETURN_IF_ERROR(server_->ServeStep());
    }
    *done.mutable_attention_compute() = ToProto(server_->stats().compute);
    return SendAnswer(fd_, message);
  }

  absl::StatusOr<v1::CoordinatorMessage> Receive() {
    RALLY_ASSIGN_OR_RETURN(const std::string bytes, ReadPipeMessage(fd_, absl::Hours(1)));
    v1::CoordinatorMessage message;
    if (!message.ParseFromString(bytes)) return absl::DataLossError("unreadable message");
    return message;
  }

  const int fd_;
  const int32_t rank_;
  const RankGroupOptions& options_;
  BufferPool pool_;
  std::unique_ptr<Rendezvous> rendezvous_;
  std::unique_ptr<Transport> transport_;
  std::unique_ptr<AttentionKernel> kernel_;
  std::unique_ptr<AttentionServer> server_;
  std::unique_ptr<Collective> collective_;
  std::unique_ptr<Trainer> trainer_;
};

}  // namespace

int RunBenchRank(int fd, int32_t rank, const RankGroupOptions& options) {
  const absl::Status status = BenchRank(fd, rank, options).Run();
  if (status.ok()) return 0;
  v1::MemberMessage message;
  message.mutable_failed()->set_code(static_cast<int>(status.code()));
  message.mutable_failed()->set_message(std::string(status.message()));
  (void)SendAnswer(fd, message);
  return 1;
}

}  // namespace rally::bench
