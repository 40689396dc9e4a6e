#include "scheduler/training_setup.h"

#include <functional>
#include <numeric>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/length_distribution.h"

namespace rally {
namespace {

using testing::HasSubstr;

// An accelerator of round figures: 1e12 pairs a second, 1e6 tokens a second through a layer of
// 1e8 parameters, 100 GB/s.
CostModel Costs() {
  std::string text =
      "rally-profile 1\nname test\nsource arithmetic\nelement-bytes 2\nattention-shape 8 2 64\n"
      "attention forward 128 1000 1e10\nattention backward 128 1000 0.5e10\n"
      "layer-parameters 100000000\nlinear forward 1000 1e-3\nlinear backward 1000 2e-3\n";
  for (const char* link : {"same-process", "same-node", "across-nodes"}) {
    text += std::string("transfer ") + link + " 1000 1e-5\ntransfer " + link + " 101000 1.1e-5\n";
  }
  auto costs = CostModel::Parse(text);
  EXPECT_TRUE(costs.ok()) << costs.status();
  return *std::move(costs);
}

TrainingSetup EightGpus() {
  TrainingSetup setup;
  setup.model.layers = 8;
  setup.model.hidden_size = 512;
  setup.model.feed_forward_size = 1024;
  setup.model.heads = 8;
  setup.model.kv_heads = 2;
  setup.model.head_dim = 64;
  setup.gpus = 8;
  setup.context = 16384;
  setup.batch_tokens = 8 * 16384;
  setup.chunk_tokens = 16384;
  return setup;
}

std::vector<int64_t> Lengths() {
  LengthDistribution distribution;
  distribution.quantiles = {{0.0, 10.0}, {0.9, 1000.0}, {1.0, 16384.0}};
  return SampleLengths(distribution, 16384, 16 * 8 * 16384, 1);
}

SetupForecast Forecast(const TrainingSetup& setup) {
  auto forecast = ForecastSetup(setup, Costs(), Lengths(), 3);
  EXPECT_TRUE(forecast.ok()) << forecast.status();
  const auto& shares = forecast->shares;
  EXPECT_NEAR(std::accumulate(shares.begin(), shares.end(), 0.0), 1.0, 1e-9);
  return *std::move(forecast);
}

TEST(ForecastSetupTest, SpreadingAttentionBeatsKeepingItAtHome) {
  TrainingSetup setup = EightGpus();
  setup.planner = PlannerKind::kLocal;
  const SetupForecast local = Forecast(setup);
  for (const PlannerKind kind : {PlannerKind::kRally, PlannerKind::kGreedy}) {
    setup.planner = kind;
    EXPECT_LT(Forecast(setup).step_seconds, local.step_seconds) << PlannerName(kind);
  }
  EXPECT_GT(local.shares[static_cast<size_t>(Activity::kImbalance)], 0.05);
  EXPECT_EQ(local.link_bytes[2], 0.0);
}

TEST(ForecastSetupTest, EveryPlannerRunsWithAndWithoutPipeline) {
  for (const int32_t pipeline : {1, 2}) {
    for (const PlannerKind kind :
         {PlannerKind::kRally, PlannerKind::kArrival, PlannerKind::kLocal, PlannerKind::kGreedy,
          PlannerKind::kVariableLength, PlannerKind::kContextParallel, PlannerKind::kRing,
          PlannerKind::kHybrid}) {
      TrainingSetup setup = EightGpus();
      setup.planner = kind;
      setup.pipeline = pipeline;
      EXPECT_GT(Forecast(setup).tokens_per_second, 0.0) << PlannerName(kind) << ", " << pipeline;
    }
  }
}

TEST(ForecastSetupTest, DedicatedServersServe) {
  for (const int32_t pipeline : {1, 2}) {
    TrainingSetup setup = EightGpus();
    setup.gpus = 10;
    setup.dedicated = 2;
    setup.pipeline = pipeline;
    EXPECT_GT(Forecast(setup).link_bytes[2], 0.0);
  }
}

TEST(ForecastSetupTest, DeferralIsMeasuredByWorkDone) {
  TrainingSetup setup = EightGpus();
  setup.planner = PlannerKind::kVariableLength;
  setup.ping_pong = false;
  setup.options.context_parallel = 1;
  const SetupForecast plain = Forecast(setup);
  setup.defer = true;
  const SetupForecast deferred = Forecast(setup);
  // What it gains is balance: never more than all of the others' waiting.
  const double work =
      plain.step_seconds * (1.0 - plain.shares[static_cast<size_t>(Activity::kImbalance)]);
  EXPECT_GT(deferred.step_seconds, 0.7 * work);
}

TEST(ForecastSetupTest, RefusesWhatDoesNotFitIntoMemory) {
  TrainingSetup setup = EightGpus();
  setup.memory_bytes = 0.99 * Forecast(setup).memory_bytes;
  EXPECT_EQ(ForecastSetup(setup, Costs(), Lengths(), 3).status().code(),
            absl::StatusCode::kResourceExhausted);
}

TEST(CheckSetupTest, NamesTheDegreeThatDoesNotFit) {
  const struct {
    std::string message;
    std::function<void(TrainingSetup*)> spoil;
  } cases[] = {
      {"tensor: 3 does not divide 8 gpus", [](TrainingSetup* s) { s->tensor = 3; }},
      {"tensor: 8 does not divide the 4", [](TrainingSetup* s) { s->tensor = 8; }},
      {"dedicated: 8", [](TrainingSetup* s) { s->dedicated = 8; }},
      {"planner local has no use",
       [](TrainingSetup* s) {
         s->dedicated = 1;
         s->planner = PlannerKind::kLocal;
       }},
      {"pipeline: 3 does not divide 8 workers", [](TrainingSetup* s) { s->pipeline = 3; }},
      {"8 layers",
       [](TrainingSetup* s) {
         s->gpus = 16;
         s->pipeline = 16;
       }},
      {"batch: 131072 tokens", [](TrainingSetup* s) { s->chunk_tokens = 10000; }},
      {"context: a document of 81920 tokens", [](TrainingSetup* s) { s->context = 5 * 16384; }},
  };
  for (const auto& test : cases) {
    TrainingSetup setup = EightGpus();
    setup.gpus_per_node = 4;
    ASSERT_TRUE(CheckSetup(setup).ok());
    test.spoil(&setup);
    EXPECT_THAT(std::string(CheckSetup(setup).message()), HasSubstr(test.message));
  }
}

}  // namespace
}  // namespace rally
