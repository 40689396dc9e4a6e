#include "workers/paced_device.h"

#include <algorithm>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/time/clock.h>
#include <gtest/gtest.h>

#include "scheduler/pipeline_plan.h"
#include "scheduler/pipeline_schedule.h"
#include "scheduler/simulator.h"
#include "tests/scheduler/plan_builders.h"
#include "workers/transport/in_process_transport.h"

namespace rally {
namespace {

// A millisecond per token and layer, as much per 20 pairs; links that show. Backward takes twice
// the time.
constexpr char kProfile[] =
    "rally-profile 1\nname test\nelement-bytes 4\nattention-shape 1 1 1\nlayer-parameters 18\n"
    "attention forward 1 1 20000\nattention backward 1 1 10000\n"
    "linear forward 1 0.001\nlinear backward 1 0.002\n"
    "transfer same-process 1 1e-9\ntransfer same-process 2 2e-9\n"
    "transfer same-node 1 0.001\ntransfer same-node 1001 0.051\n"
    "transfer across-nodes 1 0.002\ntransfer across-nodes 1001 0.102\n"
    "update 0.01 0\nreduce 0.02 0\n";

ModelShape Model() {
  ModelShape model;
  model.layers = 2;
  model.hidden_size = 2;
  model.feed_forward_size = 1;
  model.heads = model.kv_heads = model.head_dim = 1;
  return model;
}

// Two replicas of each stage and a dedicated server; tasks anywhere.
Plan PlanOf(int32_t stages) {
  std::mt19937_64 random(5);
  const std::vector<int64_t> lengths = test::HeavyTailedLengths(60, 20, 128, &random);
  Plan plan = test::PackLengths(lengths, {64, 4, 128}, 2);
  test::AssignRandomly({}, 1, &random, &plan);
  return *LayOverTicks(plan, *MakeSchedule(ScheduleKind::kPhaseAligned, stages, 2));
}

// The devices of a plan, each on a thread, over transports in memory.
class PacedDevices {
 public:
  PacedDevices(Plan plan, double time_scale)
      : plan_(std::move(plan)),
        costs_(*CostModel::Parse(kProfile)),
        topology_{plan_.workers, plan_.dedicated_servers, /*in_place=*/true, 3},
        transports_(MakeInProcessTransports(plan_.ranks())),
        times_(transports_.size()) {
    input_.plan = &plan_;
    input_.topology = topology_;
    input_.model = Model();
    input_.costs = &costs_;
    const DeviceShape shape(input_.model, 1, &costs_);
    program_ = MakeStepProgram(input_, shape, input_.model.layers / plan_.stages);
    phases_ = CostsOfPlan(plan_, shape, costs_);
    const std::vector<std::string> addresses(transports_.size());
    for (const auto& transport : transports_) {
      EXPECT_TRUE(transport->Connect(addresses, "").ok());
      devices_.push_back(
          std::make_unique<PacedDevice>(PacedDeviceOptions{1, time_scale, 0.1, absl::Seconds(30)},
                                        &topology_, &costs_, transport.get(), &pool_));
    }
  }

  void Start() {
    for (size_t rank = 0; rank < devices_.size(); ++rank) {
      threads_.emplace_back([this, rank] {
        times_[rank] = devices_[rank]->Run({0, &program_, &phases_});
      });
    }
  }

  void Abort(const absl::Status& error) {
    for (size_t rank = 0; rank < devices_.size(); ++rank) {
      transports_[rank]->Abort(error);
      devices_[rank]->Abort();
    }
  }

  // By rank, once all are done.
  const std::vector<absl::StatusOr<PacedTimes>>& Finish() {
    for (std::thread& thread : threads_) thread.join();
    return times_;
  }

  StepForecast Simulated() const { return *Simulate(input_); }

 private:
  const Plan plan_;
  const CostModel costs_;
  const Topology topology_;
  SimulationInput input_;
  StepProgram program_;
  PhaseTable phases_;
  BufferPool pool_;
  std::vector<std::unique_ptr<PacedDevice>> devices_;
  std::vector<std::unique_ptr<Transport>> transports_;  // Gone before the devices' buffers.
  std::vector<absl::StatusOr<PacedTimes>> times_;
  std::vector<std::thread> threads_;
};

class PacedDeviceTest : public testing::TestWithParam<int32_t> {};

// Threads start within some milliseconds of each other, which a step must be long beside. Ports may
// take messages in another order than the simulator's.
TEST_P(PacedDeviceTest, SpendsItsTimeAsTheSimulatorSays) {
  constexpr double kTolerance = 0.05;  // Of the step.
  PacedDevices devices(PlanOf(GetParam()), /*time_scale=*/1.0);
  const StepForecast forecast = devices.Simulated();
  ASSERT_GT(forecast.step_seconds, 0.5);
  ASSERT_LT(forecast.step_seconds, 10.0);
  devices.Start();
  const auto& times = devices.Finish();
  for (size_t rank = 0; rank < times.size(); ++rank) {
    ASSERT_TRUE(times[rank].ok()) << times[rank].status();
    double sum = 0.0;
    for (int a = 0; a < kActivities; ++a) {
      const double seconds = times[rank]->seconds[static_cast<size_t>(a)];
      sum += seconds;
      // Waiting for the others' last work is not the device's to see.
      if (a >= static_cast<int>(Activity::kImbalance)) continue;
      const double simulated = forecast.devices[rank].seconds[static_cast<size_t>(a)];
      EXPECT_NEAR(seconds, simulated, 1e-6 * simulated + 1e-6) << rank << " " << a;
    }
    EXPECT_NEAR(sum, times[rank]->total, 1e-6 * sum) << rank;
    EXPECT_LE(times[rank]->total, (1 + kTolerance) * forecast.step_seconds) << rank;
  }
  double longest = 0.0;
  for (const auto& of : times) longest = std::max(longest, of->total);
  EXPECT_NEAR(longest, forecast.step_seconds, kTolerance * forecast.step_seconds);
}

INSTANTIATE_TEST_SUITE_P(Stages, PacedDeviceTest, testing::Values(1, 2));

TEST(PacedDeviceTest, AbortWakesItAndItsErrorComesBack) {
  PacedDevices devices(PlanOf(1), /*time_scale=*/1e4);
  const absl::Time start = absl::Now();
  devices.Start();
  devices.Abort(absl::CancelledError("enough"));
  for (const auto& times : devices.Finish()) {
    EXPECT_EQ(times.status(), absl::CancelledError("enough"));
  }
  EXPECT_LT(absl::Now() - start, absl::Seconds(10));
}

}  // namespace
}  // namespace rally
