#include "workers/attention/attention_server.h"

#include <cmath>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "scheduler/phase_routes.h"
#include "scheduler/planner.h"
#include "tests/attention/reference_attention.h"
#include "tests/attention/scripted_home.h"
#include "tests/scheduler/plan_builders.h"
#include "workers/attention/server_layout.h"
#include "workers/transport/in_process_transport.h"

namespace rally {
namespace {

constexpr uint32_t kEpoch = 3;

ModelShape SmallShape(int64_t window) {
  ModelShape shape;
  shape.layers = 2;
  shape.heads = 4;
  shape.kv_heads = 2;
  shape.head_dim = 32;
  shape.mask.window = window;
  return shape;
}

std::unique_ptr<AttentionKernel> OneThreadKernel() {
  CpuKernelOptions options;
  options.threads = 1;
  return *MakeCpuAttentionKernel(options);
}

// Every rank of a job, in threads: workers are scripted homes that serve in place.
class Cluster {
 public:
  Cluster(const ModelShape& shape, AttentionElement element, int32_t workers, int32_t dedicated)
      : shape_(shape),
        workers_(workers),
        transports_(MakeInProcessTransports(workers + dedicated)) {
    AttentionServerOptions options;
    options.shape = shape;
    options.element = element;
    options.epoch = kEpoch;
    for (auto& transport : transports_) {
      kernels_.push_back(OneThreadKernel());
      servers_.push_back(
          MakeAttentionServer(options, transport.get(), kernels_.back().get(), &pool_));
    }
  }

  // Runs a step on every rank; the homes' results go to `data`.
  void RunStep(std::shared_ptr<const Plan> plan, StepData* data) {
    std::vector<absl::Status> statuses(transports_.size());
    std::vector<std::thread> threads;
    for (size_t rank = 0; rank < transports_.size(); ++rank) {
      threads.emplace_back([this, rank, plan, data, &statuses] {
        statuses[rank] = servers_[rank]->BeginStep(plan);
        if (!statuses[rank].ok()) return;
        if (static_cast<int32_t>(rank) < workers_) {
          ScriptedHome home(plan.get(), shape_, kEpoch, transports_[rank].get(), data);
          statuses[rank] = home.Run(servers_[rank].get());
        } else {
          statuses[rank] = servers_[rank]->ServeStep();
        }
        if (!statuses[rank].ok()) transports_[rank]->Abort(statuses[rank]);
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const absl::Status& status : statuses) EXPECT_TRUE(status.ok()) << status;
  }

  int64_t TotalPairs() const {
    int64_t pairs = 0;
    for (const auto& server : servers_) pairs += server->stats().pairs;
    return pairs;
  }

 private:
  const ModelShape shape_;
  const int32_t workers_;
  BufferPool pool_;
  std::vector<std::unique_ptr<Transport>> transports_;
  std::vector<std::unique_ptr<AttentionKernel>> kernels_;
  std::vector<std::unique_ptr<AttentionServer>> servers_;
};

int64_t ExpectedPairs(const Plan& plan, const ModelShape& shape) {
  int64_t pairs = 0;
  for (const Document& document : plan.documents) {
    pairs += AllowedPairs(0, document.tokens, 0, document.tokens, shape.mask);
  }
  return pairs * shape.layers * (plan.kind == PlanKind::kTrain ? 2 : 1);
}

// Of the terms that this machine's kernel sums by products.
double RoundingOf(AttentionElement element) {
  const bool rounds =
      element == AttentionElement::kBfloat16 && OneThreadKernel()->name() == "avx512_bf16";
  return rounds ? kBfloat16Rounding : 0.0;
}

class AttentionServerTest : public testing::TestWithParam<std::tuple<int64_t, AttentionElement>> {};

// Random plans cut documents over homes, nano-batches, servers and key ranges.
TEST_P(AttentionServerTest, ComputesEveryRowOfRandomPlans) {
  const auto [window, element] = GetParam();
  const ModelShape shape = SmallShape(window);
  std::mt19937_64 random(17);
  Cluster cluster(shape, element, /*workers=*/4, /*dedicated=*/2);
  for (int64_t round = 0; round < 6; ++round) {
    auto plan = std::make_shared<Plan>(test::PackLengths(
        test::HeavyTailedLengths(40, 9, 60, &random), {20, 8, 40}, /*workers=*/4, round % 3 != 2));
    plan->round = round;
    plan->kind = round == 4 ? PlanKind::kValidate : PlanKind::kTrain;
    test::AssignRandomly(shape.mask, /*dedicated_servers=*/2, &random, plan.get());
    ASSERT_TRUE(CheckPlan(*plan, shape.mask).ok());
    StepData data(*plan, shape, element, &random);
    cluster.RunStep(plan, &data);
    data.ExpectMatchesReference(RoundingOf(element));
    EXPECT_EQ(cluster.TotalPairs(), ExpectedPairs(*plan, shape));
  }
}

INSTANTIATE_TEST_SUITE_P(WindowsAndElements, AttentionServerTest,
                         testing::Combine(testing::Values(0, 7),
                                          testing::Values(AttentionElement::kFloat32,
                                                          AttentionElement::kBfloat16)));

TEST(AttentionServerPlanTest, ComputesPlansOfTheBalancingPlanner) {
  const ModelShape shape = SmallShape(0);
  for (const Topology& topology : {Topology{2, 2, false}, Topology{2, 0, true}}) {
    std::mt19937_64 random(23);
    auto plan = std::make_shared<Plan>(
        test::PackLengths(test::HeavyTailedLengths(40, 20, 96, &random), {96, 4, 96}, 2));
    ASSERT_TRUE(AssignBalanced(topology, shape, {}, plan.get()).ok());
    StepData data(*plan, shape, AttentionElement::kFloat32, &random);
    Cluster cluster(shape, AttentionElement::kFloat32, topology.workers,
                    topology.dedicated_servers);
    cluster.RunStep(plan, &data);
    data.ExpectMatchesReference(/*rounding=*/0.0);
  }
}

TEST(ServerLayoutTest, AssemblesOnlyKeysOfSeveralHomes) {
  Plan plan;
  plan.workers = 2;
  plan.dedicated_servers = 1;
  plan.documents = {{0, 0, 8, 8}, {1, 0, 4, 4}};
  plan.micro_batches.resize(1);
  MicroBatch& micro_batch = plan.micro_batches[0];
  micro_batch.chunks.resize(2);
  micro_batch.chunks[0].nano_batches[0] = {{0, 0, 6}};
  micro_batch.chunks[1].nano_batches[0] = {{0, 6, 8}, {1, 0, 4}};
  micro_batch.tasks[0] = {{0, 6, 8, 0, 8, 2}, {0, 0, 6, 0, 6, 2}, {1, 0, 4, 0, 4, 2}};
  ASSERT_TRUE(CheckPlan(plan, {}).ok());
  const ServerLayout layout =
      MakeServerLayout(plan.micro_batches[0], plan.micro_batches[0].tasks[0], /*server=*/2, {});
  ASSERT_EQ(layout.blocks.size(), 2u);
  EXPECT_FALSE(layout.blocks[0].in_place());
  EXPECT_TRUE(layout.blocks[1].in_place());
  EXPECT_EQ(layout.scratch_rows, 8);
  ASSERT_EQ(layout.tasks.size(), 3u);
  EXPECT_EQ(layout.tasks[1].task, micro_batch.tasks[0][1]) << "tasks keep the plan's order";
  EXPECT_EQ(layout.pairs, 36 + 10);
}

std::shared_ptr<const Plan> PlanForOneServer() {
  auto plan = std::make_shared<Plan>(test::PackLengths({8}, {8, 1, 8}, 1));
  EXPECT_TRUE(AssignBalanced({1, 1, false}, SmallShape(0), {}, plan.get()).ok());
  return plan;
}

TEST(AttentionServerErrorTest, MissingRequestsEndAtTheDeadline) {
  auto transports = MakeInProcessTransports(2);
  BufferPool pool;
  const auto kernel = OneThreadKernel();
  AttentionServerOptions options;
  options.shape = SmallShape(0);
  options.phase_timeout = absl::Milliseconds(20);
  const auto server = MakeAttentionServer(options, transports[1].get(), kernel.get(), &pool);
  ASSERT_TRUE(server->BeginStep(PlanForOneServer()).ok());
  EXPECT_EQ(server->ServeStep().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_GE(server->stats().waiting, absl::Milliseconds(19));  // Deadlines are in wall time.
}

TEST(AttentionServerErrorTest, AbortEndsTheStep) {
  auto transports = MakeInProcessTransports(2);
  BufferPool pool;
  const auto kernel = OneThreadKernel();
  AttentionServerOptions options;
  options.shape = SmallShape(0);
  const auto server = MakeAttentionServer(options, transports[1].get(), kernel.get(), &pool);
  ASSERT_TRUE(server->BeginStep(PlanForOneServer()).ok());
  std::thread aborter([&] { transports[1]->Abort(absl::CancelledError("enough")); });
  const absl::Status status = server->ServeStep();
  aborter.join();
  EXPECT_EQ(status.code(), absl::StatusCode::kCancelled);
}

TEST(AttentionServerErrorTest, GivesUpWithPhasesPosted) {
  auto transports = MakeInProcessTransports(2);
  BufferPool pool;
  const auto kernel = OneThreadKernel();
  AttentionServerOptions options;
  options.shape = SmallShape(0);
  auto server = MakeAttentionServer(options, transports[1].get(), kernel.get(), &pool);
  const auto plan = PlanForOneServer();
  ASSERT_TRUE(server->BeginStep(plan).ok());
  ASSERT_TRUE(server->PostPhase(PhaseOrder(*plan, 2)[0]).ok());
  server.reset();  // Returns, and leaves no receive behind that could write into pooled memory.
  EXPECT_FALSE(transports[1]->status().ok());
}

}  // namespace
}  // namespace rally
