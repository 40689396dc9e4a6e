// ElasticGroup: every rank of a small job in one process, whose attention servers change at random
// moments within its rounds.
//
// Workers and servers are threads over in-process transports, with the product's attention server.
// A pool change is made as the coordinator makes it: transports are aborted, every worker says
// where it stands, the round's plan is laid over the next pool, and the round goes on. One worker's
// phases are delayed at random, so that workers are apart. Or one change is scripted: a reply of
// the first pool is lost, and the next pool comes when a worker says that something is late.
//
// Threads: one caller at a time.
#ifndef RALLY_TESTS_MODEL_ELASTIC_GROUP_H_
#define RALLY_TESTS_MODEL_ELASTIC_GROUP_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/statusor.h>
#include <absl/synchronization/mutex.h>

#include "scheduler/job_spec.h"
#include "tests/model/lost_reply.h"
#include "tests/model/plan_fixture.h"
#include "workers/attention/attention_kernel.h"
#include "workers/attention/attention_server.h"
#include "workers/model/collective.h"
#include "workers/model/trainer.h"
#include "workers/transport/buffer.h"
#include "workers/transport/transport.h"

namespace rally::testing {

// A pool that replaces the first one.
struct ScriptedChange {
  LostReply lost;                    // Of the first pool.
  std::string late;                  // When this is reported,
  std::shared_ptr<const Plan> plan;  // the round goes on by this plan.
};

class ElasticGroup {
 public:
  // `changes`: pool changes tried in each round; 0: none. `seed`: of their moments and pools.
  // `script`: of the first round.
  ElasticGroup(const JobSpec& spec, const Corpus& corpus, int changes, uint64_t seed,
               std::optional<ScriptedChange> script = std::nullopt);
  ~ElasticGroup();

  absl::StatusOr<std::vector<double>> TrainUntil(int64_t step);
  absl::StatusOr<double> Validate();
  // The next round, by this plan, to its commit.
  absl::StatusOr<double> Train(std::shared_ptr<Plan> plan);

  // Changes so far that met a worker within a round, and phases that workers were apart then.
  int64_t changes_within_rounds() const { return changes_within_rounds_; }
  int64_t most_apart() const { return most_apart_; }

 private:
  // One epoch: transports and servers by rank.
  struct Pool {
    uint32_t epoch = 0;
    Topology topology;
    std::shared_ptr<const Plan> plan;
    CollectedPhases collected;
    std::vector<std::unique_ptr<Transport>> transports;
    std::vector<std::unique_ptr<AttentionKernel>> kernels;  // One caller at a time, each.
    std::vector<std::unique_ptr<AttentionServer>> servers;
    std::vector<std::thread> serving;  // Dedicated servers.

    ~Pool();
  };
  // What one worker is at, in a round.
  struct Worker {
    std::optional<RoundStanding> standing;  // It waits for a pool.
    bool over = false;                      // Its RunRound has returned.
  };

  std::shared_ptr<Pool> MakePool(int32_t dedicated, std::shared_ptr<const Plan> plan,
                                 CollectedPhases collected);
  absl::StatusOr<PoolChange> AwaitPool(int32_t rank, const RoundStanding& standing);
  InPlaceService ServiceOf(int32_t rank);
  absl::StatusOr<double> RunRound(std::shared_ptr<const Plan> plan);
  void ChangePool();
  void ChangePool(int32_t dedicated, const std::shared_ptr<const Plan>& scripted);
  void FollowScript();
  std::shared_ptr<const Plan> LayOver(const Plan& plan, int32_t dedicated) const;
  bool AllStand() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  AttentionServer* ServerOf(int32_t rank);
  void Dawdle(int32_t rank);

  const JobSpec spec_;
  const Corpus corpus_;
  const int changes_;
  const std::optional<ScriptedChange> script_;
  std::mt19937_64 random_;
  BufferPool buffers_;
  std::unique_ptr<Rendezvous> rendezvous_;
  std::vector<std::unique_ptr<Collective>> collectives_;
  std::vector<std::shared_ptr<Pool>> used_;  // By worker: the pool its trainer is in.
  std::vector<std::unique_ptr<Trainer>> trainers_;
  int64_t rounds_ = 0;
  int64_t changes_within_rounds_ = 0;
  int64_t most_apart_ = 0;

  absl::Mutex mutex_;
  std::shared_ptr<Pool> pool_ ABSL_GUARDED_BY(mutex_);
  std::vector<Worker> workers_ ABSL_GUARDED_BY(mutex_);
  uint32_t epoch_ ABSL_GUARDED_BY(mutex_) = 0;
  std::set<std::string> late_ ABSL_GUARDED_BY(mutex_);  // "RANK: what", as it was reported.
};

}  // namespace rally::testing

#endif  // RALLY_TESTS_MODEL_ELASTIC_GROUP_H_
