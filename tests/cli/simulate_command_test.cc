// `rally simulate`, from the command line down.
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <absl/strings/str_replace.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "services/cli/command_line.h"

namespace rally {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

// Equal accelerators of round figures; the element size and shapes are the models'.
constexpr char kProfile[] = R"(rally-profile 1
name test
source arithmetic
element-bytes 2
attention-shape 8 2 64
attention forward 128 1000 1e10
attention backward 128 1000 0.5e10
layer-parameters 100000000
linear forward 1000 1e-3
linear backward 1000 2e-3
transfer same-process 1 1e-6
transfer same-process 1e6 2e-5
transfer same-node 1000 1e-5
transfer same-node 1e6 2e-5
transfer across-nodes 1000 1e-5
transfer across-nodes 1e6 4e-5
)";

constexpr char kScenario[] = R"(profile: test.profile
peak_tflops: 100
batches: 2
baseline: local
models:
  tiny: {layers: 8, hidden_size: 512, feed_forward_size: 1024, heads: 8, kv_heads: 2, head_dim: 64}
distributions:
  tailed: {quantiles: lengths.csv}
  equal: {lengths: [8192]}
planners:
  local: {ping_pong: false}
  rally: {tolerance: 0.05}
runs:
  - {setting: flat, model: tiny, context: 8192, gpus: [4, 8], batch: [4, 8]}
)";

class SimulateCommandTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        absl::StrCat(testing::TempDir(), "/simulate_",
                     testing::UnitTest::GetInstance()->current_test_info()->name(), "_", getpid());
    std::filesystem::create_directories(directory_);
    Write("test.profile", kProfile);
    Write("lengths.csv", "quantile,tokens\n0,10\n0.9,800\n1,8192\n");
  }

  void TearDown() override { std::filesystem::remove_all(directory_); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = absl::StrCat(directory_, "/", name);
    std::ofstream(path) << text;
    return path;
  }

  // Runs `rally simulate` on a scenario; gives the exit code.
  int Simulate(const std::string& scenario, std::vector<std::string> flags = {}) {
    out_.str("");
    err_.str("");
    const std::string path = Write("scenario.yaml", scenario);
    std::vector<const char*> argv = {"rally", "simulate", path.c_str()};
    for (const std::string& flag : flags) argv.push_back(flag.c_str());
    Console console(&out_, &err_, /*err_width=*/0);
    const CommandContext context = {&console, shutdown_.get(), directory_};
    return RunCommandLine(static_cast<int>(argv.size()), argv.data(), context);
  }

  // The message about a scenario in which `from` reads `to`.
  std::string Refusal(const std::string& from, const std::string& to) {
    const std::string scenario = absl::StrReplaceAll(kScenario, {{from, to}});
    EXPECT_NE(scenario, kScenario) << from;
    EXPECT_EQ(Simulate(scenario), 2) << out_.str();
    return err_.str();
  }

  std::string directory_;
  const std::unique_ptr<ShutdownSignal> shutdown_ = ShutdownSignal::Install();
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(SimulateCommandTest, GivesARowForEveryCombination) {
  ASSERT_EQ(Simulate(kScenario, {"--json"}), 0) << err_.str();
  const json rows = json::parse(out_.str());
  ASSERT_EQ(rows.size(), 2u * 2u * 2u);
  for (const json& row : rows) {
    EXPECT_EQ(row["model"], "tiny");
    EXPECT_EQ(row["setting"], "flat");
    EXPECT_EQ(row["context"], 8192);
    EXPECT_GT(row["step_seconds"], 0.0);
    const double speedup = row["speedup_over_local"];
    if (row["planner"] == "local") {
      EXPECT_EQ(speedup, 1.0);
    } else if (row["distribution"] == "tailed") {
      EXPECT_GT(speedup, 1.05);
    } else {  // Nothing to balance: it costs a little or nothing.
      EXPECT_NEAR(speedup, 1.0, 0.05);
    }
    double shares = 0.0;
    for (const auto& [name, value] : row.items()) {
      if (name.rfind("share_", 0) == 0) shares += value.get<double>();
    }
    EXPECT_NEAR(shares, 1.0, 1e-9);
  }
  const std::string once = out_.str();
  ASSERT_EQ(Simulate(kScenario, {"--json"}), 0);
  EXPECT_EQ(out_.str(), once);
}

TEST_F(SimulateCommandTest, PrintsATable) {
  ASSERT_EQ(Simulate(kScenario), 0) << err_.str();
  EXPECT_THAT(out_.str(), HasSubstr("over local"));
  EXPECT_THAT(out_.str(), HasSubstr("1x1x8"));
}

TEST_F(SimulateCommandTest, WritesFiles) {
  const std::string csv = absl::StrCat(directory_, "/rows.csv");
  const std::string svg = absl::StrCat(directory_, "/rows.svg");
  const std::string trace = absl::StrCat(directory_, "/trace.json");
  ASSERT_EQ(Simulate(kScenario, {"--csv", csv, "--svg", svg, "--trace", trace}), 0) << err_.str();
  EXPECT_THAT(*ReadFile(csv), StartsWith("model,setting,distribution,context,gpus,planner,"));
  EXPECT_THAT(*ReadFile(svg), StartsWith("<svg"));
  const json events = json::parse(*ReadFile(trace))["traceEvents"];
  EXPECT_GT(events.size(), 100u);
}

TEST_F(SimulateCommandTest, SearchIsNeverSlowerThanTheGivenDegrees) {
  ASSERT_EQ(Simulate(kScenario, {"--json"}), 0) << err_.str();
  const json given = json::parse(out_.str());
  ASSERT_EQ(Simulate(kScenario, {"--json", "--search"}), 0) << err_.str();
  const json best = json::parse(out_.str());
  ASSERT_EQ(best.size(), given.size());
  for (size_t i = 0; i < given.size(); ++i) {
    EXPECT_LE(best[i]["step_seconds"].get<double>(), given[i]["step_seconds"].get<double>());
  }
}

TEST_F(SimulateCommandTest, SweepsDegreesAndSaysWhatDoesNotFit) {
  const std::string scenario =
      absl::StrReplaceAll(kScenario, {{"batch: [4, 8]", "batch: 8, pipeline: [1, 2, 3]"}});
  ASSERT_EQ(Simulate(scenario, {"--json"}), 0) << err_.str();
  const json rows = json::parse(out_.str());
  EXPECT_EQ(rows.size(), 3u * 8u);
  int failed = 0;
  for (const json& row : rows) {
    if (!row["step_seconds"].is_null()) continue;
    ++failed;
    EXPECT_THAT(row["error"].get<std::string>(), HasSubstr("pipeline: 3 does not divide"));
  }
  EXPECT_EQ(failed, 8);
  ASSERT_EQ(Simulate(scenario), 0);
  EXPECT_THAT(out_.str(), HasSubstr("pipeline: 3 does not divide"));
}

TEST_F(SimulateCommandTest, StragglersAndDeadServersTakeTime) {
  const auto seconds = [this](const std::string& more) {
    const std::string scenario = absl::StrReplaceAll(
        kScenario, {{"gpus: [4, 8], batch: [4, 8]",
                     absl::StrCat("gpus: 6, dedicated: 2, batch: 4, planners: rally", more)}});
    EXPECT_EQ(Simulate(scenario, {"--json"}), 0) << err_.str();
    return json::parse(out_.str())[1]["step_seconds"].get<double>();
  };
  const double plain = seconds("");
  EXPECT_GT(seconds(", speeds: {0: 0.5}"), 1.1 * plain);
  EXPECT_GT(seconds(", failures: {5: 0.0}, detection_seconds: 0.25"), plain + 0.2);
}

TEST_F(SimulateCommandTest, NamesLineAndFieldOfWhatIsWrong) {
  EXPECT_THAT(Refusal("batches: 2", "batches: 0"), HasSubstr("scenario.yaml:3: batches: 0 is not"));
  EXPECT_THAT(Refusal("peak_tflops", "peak_tflop"), HasSubstr("did you mean peak_tflops?"));
  EXPECT_THAT(Refusal("layers: 8", "layers: many"), HasSubstr(":6: models.tiny.layers: many"));
  EXPECT_THAT(Refusal("kv_heads: 2", "kv_heads: 3"), HasSubstr("3 does not divide 8 heads"));
  EXPECT_THAT(Refusal("lengths.csv", "none.csv"), HasSubstr("distributions.tailed.quantiles"));
  EXPECT_THAT(Refusal("{lengths: [8192]}", "{}"), HasSubstr("either quantiles"));
  EXPECT_THAT(Refusal("  rally: {", "  rallye: {"), HasSubstr("planners.rallye.planner"));
  EXPECT_THAT(Refusal("baseline: local", "baseline: other"), HasSubstr("baseline: other"));
  EXPECT_THAT(Refusal("batch: [4, 8]", "batch: [4, 8, 9]"), HasSubstr("runs[0].batch: has 3"));
  EXPECT_THAT(Refusal("model: tiny", "model: huge"), HasSubstr("huge is none of tiny"));
  EXPECT_THAT(Refusal("context: 8192, ", ""), HasSubstr("runs[0].context: is missing"));
  EXPECT_THAT(Refusal("test.profile", "no.profile"), HasSubstr("scenario.yaml:1: profile:"));
  EXPECT_THAT(Refusal("runs:", "runs: ["), HasSubstr("not YAML"));
  EXPECT_THAT(Refusal("gpus: [4, 8]", "gpus: [3]"), HasSubstr("batch: has 2"));
  EXPECT_THAT(Refusal("setting: flat", "tensor: 16"), HasSubstr("no row of the scenario"));
  EXPECT_EQ(Simulate(""), 2);
}

}  // namespace
}  // namespace rally
