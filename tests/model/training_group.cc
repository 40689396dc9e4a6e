#include "tests/model/training_group.h"

#include <thread>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "common/status_macros.h"
#include "tests/model/reference_service.h"
#include "tests/model/writer_group.h"
#include "workers/attention/attention_server.h"
#include "workers/transport/in_process_transport.h"

namespace rally::testing {

ServiceMaker ReferenceServices() {
  return [](const JobSpec& spec, Transport* transport, BufferPool* /*pool*/) {
    auto reference =
        std::make_shared<ReferenceService>(spec.model, spec.attention_element(), 1, transport);
    return RankService{reference->service(),
                       [server = reference.get()] { return server->ServeStep(); }, reference};
  };
}

ServiceMaker AttentionServers(CpuInstructionSet set, const WrapKernel& wrap) {
  struct Owner {
    std::unique_ptr<AttentionKernel> kernel;
    std::unique_ptr<AttentionServer> server;
  };
  return [set, wrap](const JobSpec& spec, Transport* transport, BufferPool* pool) {
    auto owner = std::make_shared<Owner>();
    auto kernel = MakeCpuAttentionKernel({.threads = 1, .instruction_set = set});
    RALLY_CHECK(kernel.ok(), kernel.status().ToString());
    owner->kernel = wrap ? wrap(*std::move(kernel)) : *std::move(kernel);
    owner->server =
        MakeAttentionServer({spec.model, spec.attention_element(), 1, absl::Seconds(60)}, transport,
                            owner->kernel.get(), pool);
    AttentionServer* server = owner->server.get();
    InPlaceService service;
    service.begin_step = [server](std::shared_ptr<const Plan> plan,
                                  const CollectedPhases& collected) {
      return server->BeginStep(std::move(plan), collected);
    };
    service.post_phase = [server](const Phase& phase) { return server->PostPhase(phase); };
    service.serve_phase = [server](const Phase& phase) { return server->ServePhase(phase); };
    return RankService{service, [server] { return server->ServeStep(); }, owner};
  };
}

TrainingGroup::TrainingGroup(const JobSpec& spec, const Corpus& corpus,
                             const ServiceMaker& make_service, PlannerKind planner)
    : spec_(spec),
      corpus_(corpus),
      planner_(planner),
      transports_(MakeInProcessTransports(spec.topology().ranks())),
      collectives_(spec.workers),
      trainers_(spec.workers) {
  for (const auto& transport : transports_) {
    pools_.push_back(std::make_unique<BufferPool>());
    services_.push_back(make_service(spec, transport.get(), pools_.back().get()));
  }
  std::string endpoint;
  if (spec.workers > 1) {
    auto rendezvous = MakeRendezvous("127.0.0.1");
    RALLY_CHECK(rendezvous.ok(), rendezvous.status().ToString());
    rendezvous_ = *std::move(rendezvous);
    endpoint = rendezvous_->endpoint();
  }
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < spec.workers; ++rank) {
    threads.emplace_back([this, rank, &endpoint] {
      auto collective = MakeCollective(rank, spec_.workers, endpoint, absl::Seconds(60));
      RALLY_CHECK(collective.ok(), collective.status().ToString());
      collectives_[rank] = *std::move(collective);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int32_t rank = 0; rank < spec.workers; ++rank) {
    TrainerOptions options{spec, rank, 1, 1, absl::Seconds(60)};
    auto trainer = MakeTrainer(options, transports_[rank].get(), pools_[rank].get(),
                               collectives_[rank].get(), corpus.Reader(), services_[rank].service);
    RALLY_CHECK(trainer.ok(), trainer.status().ToString());
    trainers_[rank] = *std::move(trainer);
  }
}

TrainingGroup::~TrainingGroup() = default;

std::shared_ptr<Plan> TrainingGroup::NextPlan(const DataPosition& data, PlanKind kind) {
  auto plan = MakePlan(spec_, corpus_, trainers_[0]->position().step + 1, data, kind, planner_);
  plan->round = rounds_++;
  return plan;
}

absl::StatusOr<double> TrainingGroup::RunRound(std::shared_ptr<const Plan> plan) {
  const int32_t ranks = spec_.topology().ranks();
  std::vector<absl::Status>& status = round_status_;
  status.assign(ranks, absl::OkStatus());
  std::vector<double> loss(spec_.workers);
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < ranks; ++rank) {
    threads.emplace_back([&, rank] {
      if (rank >= spec_.workers) {
        status[rank] = services_[rank].service.begin_step(plan, {});
        if (status[rank].ok()) status[rank] = services_[rank].serve_step();
      } else {
        auto result = trainers_[rank]->RunRound(plan);
        status[rank] = result.status();
        if (result.ok()) loss[rank] = result->loss;
      }
      // What one rank waits for may never come when another one has failed; but a loss that is not
      // finite must be found by all.
      if (!status[rank].ok() && !absl::IsOutOfRange(status[rank])) {
        for (const auto& transport : transports_) transport->Abort(status[rank]);
        for (const auto& collective : collectives_) collective->Abort(status[rank]);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int32_t rank = 0; rank < ranks; ++rank) {
    RALLY_RETURN_IF_ERROR(Annotate(status[rank], absl::StrCat("rank ", rank)));
  }
  for (const double other : loss) RALLY_CHECK(other == loss[0], "workers disagree on the loss");
  return loss[0];
}

absl::StatusOr<std::vector<double>> TrainingGroup::TrainUntil(int64_t step) {
  std::vector<double> losses;
  while (trainers_[0]->position().step < step) {
    const DataPosition data = trainers_[0]->position().data;
    RALLY_ASSIGN_OR_RETURN(const double loss, RunRound(NextPlan(data, PlanKind::kTrain)));
    losses.push_back(loss);
    for (const auto& trainer : trainers_) RALLY_RETURN_IF_ERROR(trainer->Commit());
  }
  return losses;
}

absl::StatusOr<std::string> TrainingGroup::SaveCheckpoint() {
  WriterGroup writers(spec_);
  for (int32_t rank = 0; rank < spec_.workers; ++rank) {
    Trainer& trainer = *trainers_[rank];
    RALLY_RETURN_IF_ERROR(writers.Start(rank, trainer.arrays(), trainer.position()));
  }
  const CheckpointOutcome outcome = writers.Await();
  RALLY_RETURN_IF_ERROR(outcome.status);
  return outcome.directory;
}

absl::StatusOr<double> TrainingGroup::Validate() {
  return RunRound(NextPlan({}, PlanKind::kValidate));
}

}  // namespace rally::testing
