#include "tests/model/elastic_group.h"

#include <algorithm>
#include <atomic>
#include <limits>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/synchronization/notification.h>
#include <absl/time/time.h>

#include "common/check.h"
#include "common/status_macros.h"
#include "workers/transport/in_process_transport.h"

namespace rally::testing {
namespace {

constexpr absl::Duration kTimeout = absl::Seconds(60);

void Linger(absl::Duration time) { absl::Notification().WaitForNotificationWithTimeout(time); }

}  // namespace

ElasticGroup::Pool::~Pool() {
  for (const auto& transport : transports) transport->Abort(absl::AbortedError("the pool is over"));
  for (std::thread& thread : serving) thread.join();
  servers.clear();
}

ElasticGroup::ElasticGroup(const JobSpec& spec, const Corpus& corpus, int changes, uint64_t seed,
                           std::optional<ScriptedChange> script)
    : spec_(spec),
      corpus_(corpus),
      changes_(changes),
      script_(std::move(script)),
      random_(seed),
      collectives_(spec.workers),
      used_(spec.workers),
      trainers_(spec.workers),
      workers_(spec.workers) {
  auto rendezvous = MakeRendezvous("127.0.0.1");
  RALLY_CHECK(rendezvous.ok(), rendezvous.status().ToString());
  rendezvous_ = *std::move(rendezvous);
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < spec.workers; ++rank) {
    threads.emplace_back([this, rank] {
      auto made = MakeCollective(rank, spec_.workers, rendezvous_->endpoint(), kTimeout);
      RALLY_CHECK(made.ok(), made.status().ToString());
      collectives_[rank] = *std::move(made);
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto pool = MakePool(spec.attention.dedicated, nullptr, {});
  for (int32_t rank = 0; rank < spec.workers; ++rank) {
    TrainerOptions options{spec, rank, pool->epoch, 1, kTimeout};
    auto trainer = MakeTrainer(options, pool->transports[rank].get(), &buffers_,
                               collectives_[rank].get(), corpus.Reader(), ServiceOf(rank));
    RALLY_CHECK(trainer.ok(), trainer.status().ToString());
    trainers_[rank] = *std::move(trainer);
    used_[rank] = pool;
  }
  absl::MutexLock lock(&mutex_);
  pool_ = pool;
}

ElasticGroup::~ElasticGroup() { trainers_.clear(); }

std::shared_ptr<ElasticGroup::Pool> ElasticGroup::MakePool(int32_t dedicated,
                                                           std::shared_ptr<const Plan> plan,
                                                           CollectedPhases collected) {
  auto pool = std::make_shared<Pool>();
  {
    absl::MutexLock lock(&mutex_);
    pool->epoch = ++epoch_;
  }
  pool->topology = spec_.topology();
  pool->topology.dedicated_servers = dedicated;
  pool->plan = std::move(plan);
  pool->collected = std::move(collected);
  pool->transports = MakeInProcessTransports(pool->topology.ranks());
  if (script_.has_value() && pool->epoch == 1) {
    std::unique_ptr<Transport>& loses = pool->transports[script_->lost.server];
    loses = MakeTransportThatLoses(script_->lost, std::move(loses));
  }
  for (const auto& transport : pool->transports) {
    auto kernel = MakeCpuAttentionKernel({.threads = 1});
    RALLY_CHECK(kernel.ok(), kernel.status().ToString());
    pool->kernels.push_back(*std::move(kernel));
    pool->servers.push_back(
        MakeAttentionServer({spec_.model, spec_.attention_element(), pool->epoch, kTimeout},
                            transport.get(), pool->kernels.back().get(), &buffers_));
  }
  return pool;
}

AttentionServer* ElasticGroup::ServerOf(int32_t rank) { return used_[rank]->servers[rank].get(); }

// The last worker is slow at times.
void ElasticGroup::Dawdle(int32_t rank) {
  static std::atomic<uint64_t> calls{0};
  if (rank + 1 == spec_.workers && changes_ > 0 && ++calls % 7 == 0) {
    Linger(absl::Milliseconds(1));
  }
}

InPlaceService ElasticGroup::ServiceOf(int32_t rank) {
  InPlaceService service;
  service.begin_step = [this, rank](std::shared_ptr<const Plan> plan,
                                    const CollectedPhases& collected) {
    return ServerOf(rank)->BeginStep(std::move(plan), collected);
  };
  service.post_phase = [this, rank](const Phase& phase) {
    Dawdle(rank);
    return ServerOf(rank)->PostPhase(phase);
  };
  service.serve_phase = [this, rank](const Phase& phase) {
    return ServerOf(rank)->ServePhase(phase);
  };
  service.change_pool = [this, rank](const absl::Status& cause,
                                     const RoundStanding& standing) -> absl::StatusOr<PoolChange> {
    if (!absl::IsAborted(cause)) return cause;
    return AwaitPool(rank, standing);
  };
  service.report_late = [this, rank](const std::string& what) {
    absl::MutexLock lock(&mutex_);
    late_.insert(absl::StrCat(rank, ": ", what));
  };
  return service;
}

absl::StatusOr<PoolChange> ElasticGroup::AwaitPool(int32_t rank, const RoundStanding& standing) {
  absl::MutexLock lock(&mutex_);
  workers_[rank].standing = standing;
  const auto told = [this, rank]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !workers_[rank].standing.has_value();
  };
  if (!mutex_.AwaitWithTimeout(absl::Condition(&told), kTimeout)) {
    return absl::DeadlineExceededError("no pool came");
  }
  used_[rank] = pool_;
  return PoolChange{pool_->transports[rank].get(), pool_->epoch, pool_->plan, pool_->collected};
}

bool ElasticGroup::AllStand() const {
  return std::all_of(workers_.begin(), workers_.end(), [](const Worker& worker) {
    return worker.over || worker.standing.has_value();
  });
}

std::shared_ptr<const Plan> ElasticGroup::LayOver(const Plan& plan, int32_t dedicated) const {
  auto result = std::make_shared<Plan>(plan);
  Topology topology = spec_.topology();
  topology.dedicated_servers = dedicated;
  PlannerOptions options;
  options.query_granularity = 8;
  RALLY_CHECK(AssignBalanced(topology, spec_.model, options, result.get()).ok(), "no plan");
  return result;
}

void ElasticGroup::ChangePool() {
  const int32_t least = spec_.attention.in_place ? 0 : 1;
  ChangePool(least + static_cast<int32_t>(random_() % (spec_.attention.dedicated + 1 - least)),
             nullptr);
}

void ElasticGroup::FollowScript() {
  {
    absl::MutexLock lock(&mutex_);
    const auto is_late = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return late_.count(script_->late) > 0;
    };
    RALLY_CHECK(mutex_.AwaitWithTimeout(absl::Condition(&is_late), kTimeout),
                absl::StrCat("nobody has said ", script_->late));
  }
  ChangePool(script_->plan->dedicated_servers, script_->plan);
}

// Kills the pool, and lays what is left of the round over another one.
void ElasticGroup::ChangePool(int32_t dedicated, const std::shared_ptr<const Plan>& scripted) {
  std::shared_ptr<Pool> last;
  CollectedPhases collected;
  bool complete = true;
  {
    absl::MutexLock lock(&mutex_);
    last = pool_;
    for (const auto& transport : last->transports) {
      transport->Abort(absl::AbortedError("the attention pool changes"));
    }
    RALLY_CHECK(mutex_.AwaitWithTimeout(absl::Condition(this, &ElasticGroup::AllStand), kTimeout),
                "a worker does not say where it stands");
    for (const Worker& worker : workers_) {
      const bool all = worker.over || worker.standing->complete;
      collected.by_worker.push_back(all ? std::numeric_limits<int64_t>::max()
                                        : worker.standing->collected);
      complete = complete && all;
    }
  }
  if (!complete) {
    ++changes_within_rounds_;
    if (collected.end() < std::numeric_limits<int64_t>::max()) {
      most_apart_ = std::max(most_apart_, collected.end() - collected.first());
    }
  }
  std::shared_ptr<const Plan> plan = scripted;
  if (plan == nullptr && !complete) plan = LayOver(*last->plan, dedicated);
  const std::shared_ptr<Pool> next = MakePool(dedicated, plan, collected);
  for (int32_t rank = spec_.workers; plan != nullptr && rank < next->topology.ranks(); ++rank) {
    next->serving.emplace_back([server = next->servers[rank].get(), plan, collected] {
      if (server->BeginStep(plan, collected).ok()) (void)server->ServeStep();
    });
  }
  absl::MutexLock lock(&mutex_);
  pool_ = next;
  for (Worker& worker : workers_) worker.standing.reset();
}

absl::StatusOr<double> ElasticGroup::RunRound(std::shared_ptr<const Plan> plan) {
  std::vector<absl::StatusOr<RoundResult>> results(spec_.workers, absl::UnknownError("no result"));
  std::shared_ptr<Pool> pool;
  {
    absl::MutexLock lock(&mutex_);
    pool = pool_;
    pool->plan = plan;
    for (Worker& worker : workers_) worker = {};
  }
  for (int32_t rank = spec_.workers; rank < pool->topology.ranks(); ++rank) {
    if (rank - spec_.workers < static_cast<int32_t>(pool->serving.size())) {
      pool->serving[rank - spec_.workers].join();
    } else {
      pool->serving.emplace_back();
    }
    pool->serving[rank - spec_.workers] = std::thread([server = pool->servers[rank].get(), plan] {
      if (server->BeginStep(plan).ok()) (void)server->ServeStep();
    });
  }
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < spec_.workers; ++rank) {
    if (used_[rank] != pool) {
      used_[rank] = pool;
      trainers_[rank]->UsePool(pool->transports[rank].get(), pool->epoch);
    }
    threads.emplace_back([this, rank, plan, &results] {
      results[rank] = trainers_[rank]->RunRound(plan);
      absl::MutexLock lock(&mutex_);
      workers_[rank].over = true;
    });
  }
  for (int i = 0; i < changes_; ++i) {
    Linger(absl::Microseconds(random_() % 20000));
    ChangePool();
  }
  if (script_.has_value() && plan->round == 0) FollowScript();
  for (std::thread& thread : threads) thread.join();
  for (const auto& result : results) RALLY_RETURN_IF_ERROR(result.status());
  for (const auto& result : results) RALLY_CHECK(result->loss == results[0]->loss, "they disagree");
  return results[0]->loss;
}

absl::StatusOr<std::vector<double>> ElasticGroup::TrainUntil(int64_t step) {
  std::vector<double> losses;
  while (trainers_[0]->position().step < step) {
    JobSpec spec = spec_;
    {
      absl::MutexLock lock(&mutex_);
      spec.attention.dedicated = pool_->topology.dedicated_servers;
    }
    auto plan =
        MakePlan(spec, corpus_, trainers_[0]->position().step + 1, trainers_[0]->position().data);
    RALLY_ASSIGN_OR_RETURN(const double loss, Train(std::move(plan)));
    losses.push_back(loss);
  }
  return losses;
}

absl::StatusOr<double> ElasticGroup::Train(std::shared_ptr<Plan> plan) {
  plan->round = rounds_++;
  RALLY_ASSIGN_OR_RETURN(const double loss, RunRound(std::move(plan)));
  for (const auto& trainer : trainers_) RALLY_RETURN_IF_ERROR(trainer->Commit());
  return loss;
}

absl::StatusOr<double> ElasticGroup::Validate() {
  JobSpec spec = spec_;
  {
    absl::MutexLock lock(&mutex_);
    spec.attention.dedicated = pool_->topology.dedicated_servers;
  }
  auto plan = MakePlan(spec, corpus_, trainers_[0]->position().step + 1, {}, PlanKind::kValidate);
  plan->round = rounds_++;
  return RunRound(std::move(plan));
}

}  // namespace rally::testing
