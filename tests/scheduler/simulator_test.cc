#include "scheduler/simulator.h"

#include <cmath>
#include <numeric>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "scheduler/check_plan.h"
#include "scheduler/pipeline_plan.h"
#include "scheduler/planner.h"
#include "tests/scheduler/plan_builders.h"

namespace rally {
namespace {

using testing::HasSubstr;

// A second per pair and per token of a layer, twice that backward; a message takes
// `seconds_per_byte` for each byte. One head of dimension 1 and 18 parameters a layer; float32.
CostModel Costs(double seconds_per_byte) {
  std::string text =
      "rally-profile 1\nname test\nsource arithmetic\nelement-bytes 4\nattention-shape 1 1 1\n"
      "attention forward 1 1 1\nattention backward 1 1 0.5\nlayer-parameters 18\n"
      "linear forward 1 1\nlinear backward 1 2\n";
  for (const char* link : {"same-process", "same-node", "across-nodes"}) {
    absl::StrAppend(&text, "transfer ", link, " 1 ", seconds_per_byte, "\ntransfer ", link, " 2 ",
                    2 * seconds_per_byte, "\n");
  }
  auto costs = CostModel::Parse(text);
  EXPECT_TRUE(costs.ok()) << costs.status();
  return *std::move(costs);
}

constexpr double kFast = 1e-12;  // Seconds per byte that do not show.

// A layer has 18 parameters, a third of them before attention.
ModelShape Model(int64_t layers) {
  ModelShape model;
  model.layers = layers;
  model.hidden_size = 2;
  model.feed_forward_size = 1;
  model.heads = model.kv_heads = model.head_dim = 1;
  return model;
}

// One micro-batch: a chunk per worker, of whole documents, all in ping; tasks at home, or all on
// the first dedicated server.
Plan PlanOf(const std::vector<std::vector<int64_t>>& chunks, int32_t dedicated = 0) {
  Plan plan;
  plan.workers = static_cast<int32_t>(chunks.size());
  plan.dedicated_servers = dedicated;
  MicroBatch& micro_batch = plan.micro_batches.emplace_back();
  for (int32_t worker = 0; worker < plan.workers; ++worker) {
    Chunk& chunk = micro_batch.chunks.emplace_back();
    for (const int64_t tokens : chunks[worker]) {
      const auto document = static_cast<int32_t>(plan.documents.size());
      plan.documents.push_back({document, 0, tokens, tokens});
      chunk.nano_batches[0].push_back({document, 0, tokens});
      micro_batch.tasks[0].push_back(
          {document, 0, tokens, 0, tokens, dedicated > 0 ? plan.workers : worker});
    }
  }
  return plan;
}

struct Case {
  Plan plan;
  CostModel costs = Costs(kFast);
  SimulationInput input;

  StepForecast Run() {
    EXPECT_TRUE(CheckPlan(plan, input.model.mask).ok()) << CheckPlan(plan, input.model.mask);
    input.plan = &plan;
    input.costs = &costs;
    if (input.topology.workers == 1) {
      const int32_t stages = input.schedule != nullptr ? input.schedule->stages : 1;
      input.topology.workers = plan.workers * stages;
      input.topology.dedicated_servers = plan.dedicated_servers;
    }
    auto forecast = Simulate(input);
    EXPECT_TRUE(forecast.ok()) << forecast.status();
    for (const DeviceForecast& device : forecast->devices) {
      const double sum = std::accumulate(device.seconds.begin(), device.seconds.end(), 0.0);
      EXPECT_NEAR(sum, forecast->step_seconds, 1e-9 * forecast->step_seconds);
    }
    return *std::move(forecast);
  }
};

double Seconds(const StepForecast& forecast, int32_t device, Activity activity) {
  return forecast.devices[device].seconds[static_cast<size_t>(activity)];
}

TEST(SimulatorTest, OneDeviceTakesItsWork) {
  for (const int64_t layers : {1, 2, 9, 30}) {
    Case one;
    one.plan = PlanOf({{6}});
    one.input.model = Model(layers);
    const StepForecast forecast = one.Run();
    // Per layer 6 tokens and 21 pairs, forward, and twice that backward.
    EXPECT_DOUBLE_EQ(forecast.step_seconds, 3.0 * (6 + 21) * static_cast<double>(layers));
    EXPECT_DOUBLE_EQ(forecast.Share(Activity::kLinear), 6.0 / 27);
    EXPECT_DOUBLE_EQ(forecast.tokens_per_second, 6 / forecast.step_seconds);
  }
}

TEST(SimulatorTest, ValidationGoesForwardAlone) {
  Case one;
  one.plan = PlanOf({{6}});
  one.plan.kind = PlanKind::kValidate;
  one.input.model = Model(2);
  EXPECT_DOUBLE_EQ(one.Run().step_seconds, 2 * (6 + 21));
}

TEST(SimulatorTest, TheLighterWorkerWaits) {
  Case two;
  two.plan = PlanOf({{4}, {2, 2}});  // 10 and 6 pairs.
  two.input.model = Model(1);
  two.costs = Costs(0.5);
  const StepForecast forecast = two.Run();
  // The gradients of 20 weights, 4 bytes each, all but half of them out and in.
  const double reduction = 0.5 * 20 * 4;
  EXPECT_DOUBLE_EQ(forecast.step_seconds, 3 * (4 + 10) + reduction);
  EXPECT_DOUBLE_EQ(Seconds(forecast, 0, Activity::kImbalance), 0.0);
  EXPECT_DOUBLE_EQ(Seconds(forecast, 1, Activity::kImbalance), 3 * 4);
  EXPECT_DOUBLE_EQ(Seconds(forecast, 1, Activity::kReduction), reduction);
}

TEST(SimulatorTest, StragglersTakeTheirTime) {
  Case two;
  two.plan = PlanOf({{4}, {4}});
  two.input.model = Model(1);
  two.input.speeds = {1.0, 0.5};
  const StepForecast forecast = two.Run();
  EXPECT_NEAR(forecast.step_seconds, 2 * 3 * (4 + 10), 1e-6);
  EXPECT_NEAR(Seconds(forecast, 0, Activity::kImbalance), 3 * (4 + 10), 1e-6);
}

TEST(SimulatorTest, ARemoteTaskIsMessagesAndAttention) {
  Case remote;
  remote.plan = PlanOf({{4}}, /*dedicated=*/1);
  remote.input.model = Model(1);
  remote.costs = Costs(0.125);
  const StepForecast forecast = remote.Run();
  // Forward: 4 rows of 4 bytes of q, 8 of k and v; back 4 of out and 4 of LSE. Backward: also 4 of
  // dO and 8 of LSE and delta; back 4 of dq and 8 of dk and dv.
  const double bytes = 4 * (4 + 8) + 4 * (4 + 4) + 4 * (4 + 8 + 4 + 8) + 4 * (4 + 8);
  EXPECT_DOUBLE_EQ(forecast.link_bytes[static_cast<size_t>(LinkClass::kSameNode)], bytes);
  EXPECT_DOUBLE_EQ(forecast.step_seconds, 3 * 4 + 3 * 10 + 0.125 * bytes);
  EXPECT_DOUBLE_EQ(Seconds(forecast, 0, Activity::kImbalance), 3 * 10);
  EXPECT_DOUBLE_EQ(Seconds(forecast, 0, Activity::kCommunication), 0.125 * bytes);
  EXPECT_DOUBLE_EQ(Seconds(forecast, 1, Activity::kAttention), 3 * 10);
  EXPECT_DOUBLE_EQ(forecast.devices[1].key_value_bytes, 4 * 8);
}

TEST(SimulatorTest, PortsCarryOneMessageAtATime) {
  // Two workers use one server: the second request waits for the first one.
  Case remote;
  remote.plan = PlanOf({{4}, {4}}, /*dedicated=*/1);
  remote.plan.kind = PlanKind::kValidate;
  remote.input.model = Model(1);
  remote.costs = Costs(0.125);
  const double request = 0.125 * 4 * (4 + 8);
  const double reply = 0.125 * 4 * (4 + 4);
  EXPECT_DOUBLE_EQ(remote.Run().step_seconds, 4 + 2 * request + 2 * 10 + 2 * reply);
}

// A document in ping and one in pong, their attention on a server.
Plan PingPongPlan(bool ping_pong) {
  Plan plan = PlanOf({{4, 4}}, /*dedicated=*/1);
  if (!ping_pong) return plan;
  MicroBatch& micro_batch = plan.micro_batches[0];
  micro_batch.chunks[0].nano_batches = {NanoBatch{{0, 0, 4}}, NanoBatch{{1, 0, 4}}};
  micro_batch.tasks[1] = {micro_batch.tasks[0].back()};
  micro_batch.tasks[0].pop_back();
  return plan;
}

// Seconds that one more layer adds.
double LayerSeconds(const Plan& plan, double seconds_per_byte) {
  double seconds = 0.0;
  for (const int64_t layers : {7, 8}) {
    Case test;
    test.plan = plan;
    test.input.model = Model(layers);
    test.costs = Costs(seconds_per_byte);
    seconds = test.Run().step_seconds - seconds;
  }
  return seconds;
}

TEST(SimulatorTest, PingPongHidesWhatFits) {
  // Per nano-batch 10 seconds of attention and 4 of the linear part, forward. The server is the
  // bottleneck; messages of up to 10 - 4 seconds there and back are hidden behind it.
  EXPECT_NEAR(LayerSeconds(PingPongPlan(true), kFast), 3 * 20, 1e-6);
  EXPECT_NEAR(LayerSeconds(PingPongPlan(true), 5.9 / 80), 3 * 20, 1e-6);
  EXPECT_GT(LayerSeconds(PingPongPlan(true), 7.0 / 80), 3 * 20 + 0.5);
  // Without it nothing is.
  EXPECT_NEAR(LayerSeconds(PingPongPlan(false), kFast), 3 * (8 + 20), 1e-6);
  EXPECT_NEAR(LayerSeconds(PingPongPlan(false), 0.1), 3 * (8 + 20) + 0.1 * 2 * (80 + 144), 1e-6);
}

Plan EqualMicroBatches(int32_t micro_batches, int64_t tokens) {
  Plan plan;
  plan.workers = 1;
  for (int32_t m = 0; m < micro_batches; ++m) {
    plan.documents.push_back({m, 0, tokens, tokens});
    MicroBatch& micro_batch = plan.micro_batches.emplace_back();
    micro_batch.chunks.resize(1);
    micro_batch.chunks[0].nano_batches[0] = {{m, 0, tokens}};
    micro_batch.tasks[0] = {{m, 0, tokens, 0, tokens, 0}};
  }
  return plan;
}

TEST(SimulatorTest, OneForwardOneBackwardHasTheKnownBubble) {
  for (const int32_t stages : {2, 4}) {
    for (const int32_t micro_batches : {1, 4, 8}) {
      const auto schedule =
          MakeSchedule(ScheduleKind::kOneForwardOneBackward, stages, micro_batches);
      Case pipeline;
      pipeline.plan = EqualMicroBatches(micro_batches, 4);
      pipeline.input.model = Model(2 * stages);
      pipeline.input.schedule = &*schedule;
      const StepForecast forecast = pipeline.Run();
      const double slot_pair = 3 * 2 * (4 + 10);
      EXPECT_NEAR(forecast.step_seconds, (micro_batches + stages - 1) * slot_pair, 1e-6);
      EXPECT_NEAR(forecast.Share(Activity::kBubble), (stages - 1.0) / (micro_batches + stages - 1),
                  1e-6);
      // Stage 0 keeps the most: one micro-batch per stage after it, and its own.
      EXPECT_DOUBLE_EQ(
          forecast.devices[0].activation_bytes,
          std::min(stages, micro_batches) * forecast.devices[stages - 1].activation_bytes);
    }
  }
}

TEST(SimulatorTest, PhaseAlignedTicksTakeAsLongAsOneForwardOneBackward) {
  const auto schedule = MakeSchedule(ScheduleKind::kPhaseAligned, 4, 8);
  Case pipeline;
  pipeline.plan = *LayOverTicks(EqualMicroBatches(8, 4), *schedule);
  pipeline.input.model = Model(8);
  EXPECT_NEAR(pipeline.Run().step_seconds, (8 + 4 - 1) * 3 * 2 * (4 + 10), 1e-6);
}

TEST(SimulatorTest, IdleStagesServe) {
  const auto schedule = MakeSchedule(ScheduleKind::kPhaseAligned, 4, 2);
  Case alone;
  alone.plan = *LayOverTicks(EqualMicroBatches(2, 40), *schedule);
  alone.input.model = Model(8);
  alone.input.topology = {4, 0, /*in_place=*/true};
  Case shared = alone;
  ASSERT_TRUE(
      AssignBalanced(shared.input.topology, shared.input.model, {0.02, 1}, &shared.plan).ok());
  // Attention is 820 of 860 seconds of a layer's forward; of the four stages two at most are busy.
  const double saved = 1 - shared.Run().step_seconds / alone.Run().step_seconds;
  EXPECT_GT(saved, 0.4);
}

// Heavy-tailed documents on four workers, in place, ping and pong.
Case RandomCase(int32_t dedicated, uint64_t seed) {
  std::mt19937_64 random(seed);
  Case test;
  test.input.topology = {4, dedicated, /*in_place=*/true};
  test.plan = test::PackLengths(test::HeavyTailedLengths(200, 40, 512, &random), {256, 8, 512}, 4);
  test.input.model = Model(30);
  EXPECT_TRUE(AssignBalanced(test.input.topology, test.input.model, {0.05, 8}, &test.plan).ok());
  test.costs = Costs(0.01);
  return test;
}

TEST(SimulatorTest, ManyLayersFollowFromFew) {
  for (const uint64_t seed : {1, 2, 3}) {
    for (const int32_t dedicated : {0, 2}) {
      Case test = RandomCase(dedicated, seed);
      const StepForecast few = test.Run();
      test.input.timeline = true;  // Has every layer simulated.
      const StepForecast all = test.Run();
      EXPECT_NEAR(few.step_seconds, all.step_seconds, 1e-3 * all.step_seconds);
      EXPECT_NEAR(few.Share(Activity::kCommunication), all.Share(Activity::kCommunication), 2e-3);
      EXPECT_NEAR(few.link_bytes[1], all.link_bytes[1], 1e-9 * all.link_bytes[1]);
    }
  }
}

TEST(SimulatorTest, TheTimelineHoldsAllWork) {
  Case test = RandomCase(1, 4);
  test.input.model = Model(2);
  test.input.timeline = true;
  const StepForecast forecast = test.Run();
  std::vector<double> seconds(5);
  std::vector<double> end(5);
  for (const TimelineEvent& event : forecast.timeline) {
    if (event.message) continue;
    EXPECT_GE(event.begin, end[event.device] - 1e-9);  // A device does one thing at a time.
    end[event.device] = event.end;
    seconds[event.device] += event.end - event.begin;
  }
  for (const double sum : seconds) EXPECT_NEAR(sum, forecast.step_seconds, 1e-6);
  EXPECT_THAT(ChromeTrace(forecast), HasSubstr("\"name\":\"backward 0, layer 1, pong\""));
}

TEST(SimulatorTest, WhatADeadServerOwedIsComputedAgain) {
  Case test;
  test.plan = PlanOf({{4}}, /*dedicated=*/2);
  test.plan.kind = PlanKind::kValidate;
  test.input.model = Model(2);
  // Layer 0: 4/3, then the server attends from there to 4/3 + 10; it dies half-way.
  test.input.failures = {{1, 4.0 / 3 + 5}};
  test.input.detection_seconds = 7;
  const double redone = 4.0 / 3 + 5 + 7 + 10;  // By the one server left.
  EXPECT_NEAR(test.Run().step_seconds, redone + 4 + 10 + 4 * 2.0 / 3, 1e-6);
  // One that dies later than all it does changes nothing.
  test.input.failures = {{1, 1000.0}};
  EXPECT_NEAR(test.Run().step_seconds, 2 * (4 + 10), 1e-6);
  // Dead from the start: the phase that had begun waits, the next does not.
  test.input.failures = {{1, 0.0}};
  EXPECT_NEAR(test.Run().step_seconds, 7 + 10 + 4 + 10 + 4 * 2.0 / 3, 1e-6);
}

TEST(SimulatorTest, TensorParallelSplitsTheLayerAndAddsCollectives) {
  Case one;
  one.plan = PlanOf({{4}});
  one.plan.kind = PlanKind::kValidate;
  one.costs = Costs(0.5);
  one.input.model = Model(3);
  one.input.model.heads = one.input.model.kv_heads = 2;
  one.input.model.feed_forward_size = 2;
  one.input.tensor_parallel = 2;
  const StepForecast forecast = one.Run();
  // Each half is the layer of Model(). Four collectives in a layer; each sends the other's half of
  // 4 tokens of 2 elements of 4 bytes.
  EXPECT_DOUBLE_EQ(forecast.step_seconds, 3 * (4 + 10 + 4 * 0.5 * 4 * 4));
  EXPECT_DOUBLE_EQ(Seconds(forecast, 0, Activity::kTensorParallel), 3 * 4 * 0.5 * 16);
}

TEST(SimulatorTest, UtilisationIsModelFlopsOverPeak) {
  Case one;
  one.plan = PlanOf({{4}});
  one.input.model = Model(3);
  one.input.peak_flops = 100;
  const double flops = 3 * 3 * (2.0 * 18 * 4 + 4 * 10);
  const StepForecast forecast = one.Run();
  EXPECT_DOUBLE_EQ(forecast.flop_utilisation, flops / (forecast.step_seconds * 100));
}

TEST(SimulatorTest, RefusesWhatDoesNotFit) {
  Case one;
  one.plan = PlanOf({{4}}, 1);
  one.input.plan = &one.plan;
  one.input.costs = &one.costs;
  const auto refusal = [&one](auto&& spoil) {
    SimulationInput input = one.input;
    input.topology = {1, 1, false};
    spoil(&input);
    return std::string(Simulate(input).status().message());
  };
  const auto schedule = MakeSchedule(ScheduleKind::kOneForwardOneBackward, 3, 1);
  EXPECT_EQ(refusal([](SimulationInput*) {}), "");
  EXPECT_THAT(refusal([](SimulationInput* i) { i->topology.workers = 2; }), HasSubstr("topology"));
  EXPECT_THAT(refusal([](SimulationInput* i) { i->tensor_parallel = 3; }),
              HasSubstr("tensor parallel 3"));
  EXPECT_THAT(refusal([](SimulationInput* i) { i->speeds = {1, 0}; }), HasSubstr("above 0"));
  EXPECT_THAT(refusal([](SimulationInput* i) { i->failures = {{0, 1}}; }), HasSubstr("device 0"));
  EXPECT_THAT(refusal([](SimulationInput* i) { i->failures = {{1, 1}}; }), HasSubstr("is left"));
  EXPECT_THAT(refusal([&](SimulationInput* i) {
                i->schedule = &*schedule;
                i->topology.workers = 3;
              }),
              HasSubstr("without stages and dedicated servers"));
  EXPECT_THAT(refusal([](SimulationInput* i) { i->model.layers = 0; }), HasSubstr("layers"));
}

}  // namespace
}  // namespace rally
