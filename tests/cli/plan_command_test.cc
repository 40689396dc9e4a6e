// `rally plan`: what it prints can be recounted from homes and tasks; what is wrong is said.
#include "services/cli/plan_command.h"

#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "common/atomic_file.h"
#include "common/dataset_writer.h"
#include "services/cli/command_line.h"

namespace rally {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

// Two cases: documents that all fit into a chunk, and one that spans all chunks but a little.
constexpr char kCases[] = R"([
  {"name": "mixed", "servers": 4, "tokens_per_worker": 1024, "anything": [1],
   "document_tokens": [[1500, 548], [300, 5, 719, 1024]],
   "distca": {"0.05": {"forward_bytes_per_token": 2000.5}}},
  {"name": "long", "servers": 4, "tokens_per_worker": 512, "document_tokens": [[1], [2000, 47]]}
])";
const std::map<std::string, std::vector<int64_t>> kLengths = {
    {"mixed", {1500, 548, 300, 5, 719, 1024}}, {"long", {1, 2000, 47}}};

class PlanCommandTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        absl::StrCat(testing::TempDir(), "/plan_command_",
                     testing::UnitTest::GetInstance()->current_test_info()->name(), "_", getpid());
    std::filesystem::create_directories(directory_);
    cases_ = Write("cases.json", kCases);
  }
  void TearDown() override { std::filesystem::remove_all(directory_); }

  int Rally(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    std::vector<const char*> argv = {"rally", "plan"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    Console console(&out_, &err_, /*err_width=*/0);
    const CommandContext context = {&console, shutdown_.get(), directory_};
    return RunCommandLine(static_cast<int>(argv.size()), argv.data(), context);
  }

  json RallyJson(std::vector<std::string> arguments) {
    arguments.push_back("--json");
    EXPECT_EQ(Rally(arguments), 0) << err_.str();
    return json::parse(out_.str());
  }

  // Runs with a usage error, and gives its message.
  std::string Refusal(std::vector<std::string> arguments) {
    EXPECT_EQ(Rally(std::move(arguments)), 2);
    EXPECT_EQ(out_.str(), "");
    return err_.str();
  }

  std::string Path(const std::string& name) const { return absl::StrCat(directory_, "/", name); }
  std::string Write(const std::string& name, const std::string& text) {
    std::ofstream(Path(name)) << text;
    return Path(name);
  }

  // A job over a dataset of some dozen documents, all but the held-out ones in the first step.
  std::string WriteJob() {
    DatasetInfo info;
    info.vocabulary = 4;
    info.tokenizer = "bytes";
    info.end_of_document = 3;
    auto writer = DatasetWriter::Create(Path("data"), info);
    EXPECT_TRUE(writer.ok()) << writer.status();
    for (size_t i = 0; i < 40; ++i) {
      EXPECT_TRUE((*writer)->Add(std::vector<int32_t>(i % 5 == 0 ? 700 : 20 + i, 1)).ok());
    }
    EXPECT_TRUE((*writer)->Finish().ok());
    return Write("job.yaml", absl::StrCat("data: {path: ", Path("data"), R"(}
batch: {chunk_tokens: 512, chunks: 4, max_document_tokens: 1024}
workers: 2
attention: {in_place: true, dedicated: 1, tolerance: 0.1}
)"));
  }

  const std::unique_ptr<ShutdownSignal> shutdown_ = ShutdownSignal::Install();
  std::string directory_;
  std::string cases_;
  std::ostringstream out_;
  std::ostringstream err_;
};

// What the metric says, counted pair by pair and row by row.
struct Recount {
  explicit Recount(const json& one) {
    const int64_t servers = one.at("servers");
    std::vector<int64_t> pairs(static_cast<size_t>(servers));
    for (const json& row : one.at("homes")) {
      for (int64_t t = row[1]; t < row[2]; ++t) {
        EXPECT_TRUE(home.emplace(std::pair(row[0].get<int64_t>(), t), row[3]).second);
      }
      tokens[row[3]] += row[2].get<int64_t>() - row[1].get<int64_t>();
    }
    int64_t bytes = 0;
    std::set<std::tuple<int64_t, int64_t, int64_t>> keys;
    for (const json& row : one.at("tasks")) {
      const std::vector<int64_t> t = row;
      EXPECT_EQ(t.size(), 6u);
      for (int64_t q = t[1]; q < t[2]; ++q) {
        pairs[t[5]] += std::max<int64_t>(0, std::min(t[4], q + 1) - t[3]);
        if (home.at({t[0], q}) != t[5]) bytes += 8192 + 8192 + 128;
      }
      for (int64_t k = t[3]; k < t[4]; ++k) {
        if (home.at({t[0], k}) != t[5] && keys.emplace(t[5], t[0], k).second) bytes += 4096;
      }
      if (t[2] != kLengths.at(one.at("name"))[t[0]]) {
        smallest = smallest < 0 ? t[2] - t[1] : std::min(smallest, t[2] - t[1]);
      }
    }
    int64_t total = 0;
    for (const int64_t p : pairs) total += p;
    const auto largest = static_cast<double>(*std::max_element(pairs.begin(), pairs.end()));
    max_over_mean = largest * static_cast<double>(servers) / static_cast<double>(total);
    bytes_per_token = static_cast<double>(bytes) / static_cast<double>(home.size());
  }

  std::map<std::pair<int64_t, int64_t>, int64_t> home;
  std::map<int64_t, int64_t> tokens;  // By worker.
  int64_t smallest = -1;
  double max_over_mean = 0.0;
  double bytes_per_token = 0.0;
};

class PlanCommandPlannerTest : public PlanCommandTest,
                               public testing::WithParamInterface<std::string> {
  void SetUp() override {
    directory_ = absl::StrCat(testing::TempDir(), "/plan_command_", GetParam(), "_", getpid());
    std::filesystem::create_directories(directory_);
    cases_ = Write("cases.json", kCases);
  }
};

TEST_P(PlanCommandPlannerTest, FiguresFollowFromHomesAndTasks) {
  const json cases = RallyJson({"--case", cases_, "--tasks", "--planner", GetParam()});
  ASSERT_EQ(cases.size(), 2u);
  for (const json& one : cases) {
    SCOPED_TRACE(one.at("name"));
    const Recount recount(one);
    size_t documents = 0;
    for (const int64_t length : kLengths.at(one.at("name"))) {
      for (int64_t t = 0; t < length; ++t) {
        EXPECT_EQ(recount.home.count({static_cast<int64_t>(documents), t}), 1u);
      }
      ++documents;
    }
    EXPECT_EQ(recount.home.size(), one.at("tokens"));
    const int64_t chunk = one.at("tokens").get<int64_t>() / one.at("servers").get<int64_t>();
    for (const auto& [worker, tokens] : recount.tokens) EXPECT_EQ(tokens, chunk);
    EXPECT_NEAR(one.at("max_over_mean"), recount.max_over_mean, 1e-12);
    EXPECT_NEAR(one.at("forward_bytes_per_token"), recount.bytes_per_token, 1e-9);
    EXPECT_EQ(one.at("smallest_query_shard"),
              recount.smallest < 0 ? json(nullptr) : json(recount.smallest));
    EXPECT_GT(one.at("floor_bytes_per_token"), 0.0);
    EXPECT_GT(one.at("plan_seconds"), 0.0);
    EXPECT_GE(one.at("before_max_over_mean"), 1.0);
  }
}

INSTANTIATE_TEST_SUITE_P(Planners, PlanCommandPlannerTest,
                         testing::Values("rally", "arrival", "local", "greedy"),
                         [](const auto& info) { return info.param; });

TEST_F(PlanCommandTest, StaysAboveTheFloorWithinTheTolerance) {
  for (const json& one : RallyJson({"--case", cases_, "--tolerance", "0.2"})) {
    EXPECT_LE(one.at("max_over_mean"), 1.2);
    EXPECT_GE(one.at("forward_bytes_per_token"), one.at("floor_bytes_per_token"));
    EXPECT_TRUE(one.at("tasks").is_number_integer());
    EXPECT_FALSE(one.contains("homes"));
  }
}

TEST_F(PlanCommandTest, ComparesWithThePublishedPlannerWhereTheCaseHasIt) {
  const json cases = RallyJson({"--case", cases_});
  EXPECT_EQ(cases[0].at("published_bytes_per_token"), 2000.5);
  EXPECT_DOUBLE_EQ(cases[0].at("bytes_over_published"),
                   cases[0].at("forward_bytes_per_token").get<double>() / 2000.5);
  EXPECT_TRUE(cases[1].at("published_bytes_per_token").is_null());
  ASSERT_EQ(Rally({"--case", cases_}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("geometric mean of 1 ratios"));
  EXPECT_THAT(out_.str(), HasSubstr("\nlong "));
  ASSERT_EQ(Rally({"--case", cases_, "--name", "long"}), 0);
  EXPECT_THAT(out_.str(), testing::Not(HasSubstr("mixed")));
}

TEST_F(PlanCommandTest, OrderArrivalIsThePlannerOfThatName) {
  const json by_order = RallyJson({"--case", cases_, "--tasks", "--order", "arrival"});
  const json by_name = RallyJson({"--case", cases_, "--tasks", "--planner", "arrival"});
  EXPECT_EQ(by_order[0].at("tasks"), by_name[0].at("tasks"));
  EXPECT_EQ(by_order[0].at("planner"), "arrival");
}

TEST_F(PlanCommandTest, DrawsASegmentForEveryTask) {
  const json cases = RallyJson({"--case", cases_, "--name", "long", "--svg", Path("plan.svg")});
  const absl::StatusOr<std::string> svg = ReadFile(Path("plan.svg"));
  ASSERT_TRUE(svg.ok()) << svg.status();
  EXPECT_THAT(*svg, StartsWith("<svg xmlns="));
  EXPECT_THAT(*svg, HasSubstr("long, planner rally"));
  int64_t titles = 0;
  for (size_t at = svg->find("<title>"); at != std::string::npos;
       at = svg->find("<title>", at + 1)) {
    ++titles;
  }
  EXPECT_EQ(titles, cases[0].at("tasks"));
}

TEST_F(PlanCommandTest, PlansAJobsFirstStep) {
  const std::string job = WriteJob();
  const json plan = RallyJson({job, "--tasks", "--svg", Path("job.svg")});
  EXPECT_EQ(plan.at("tokens"), 2048);
  EXPECT_EQ(plan.at("micro_batches"), 2);
  EXPECT_EQ(plan.at("planner"), "rally");
  EXPECT_EQ(plan.at("tolerance"), 0.1);
  EXPECT_EQ(plan.at("ranks").size(), 3u);
  EXPECT_EQ(plan.at("ranks")[2].at("role"), "server");
  EXPECT_EQ(plan.at("ranks")[2].at("tokens"), 0);
  int64_t tasks = 0;
  for (const json& rank : plan.at("ranks")) tasks += rank.at("tasks").get<int64_t>();
  EXPECT_EQ(plan.at("tasks").size(), tasks);
  EXPECT_LT(plan.at("imbalance"), plan.at("imbalance_without_plan"));
  EXPECT_GT(plan.at("forward_bytes_per_token").at("same_node"), 0.0);
  EXPECT_EQ(plan.at("forward_bytes_per_token").at("across_nodes"), 0.0);
  EXPECT_TRUE(std::filesystem::exists(Path("job.svg")));
  const json apart = RallyJson({job, "--ranks-per-node", "1"});
  EXPECT_EQ(apart.at("forward_bytes_per_token").at("same_node"), 0.0);
  EXPECT_GT(apart.at("forward_bytes_per_token").at("across_nodes"), 0.0);
  ASSERT_EQ(Rally({job, "--planner", "local"}), 0);
  EXPECT_THAT(out_.str(), HasSubstr("planner local"));
  EXPECT_THAT(out_.str(), HasSubstr("imbalance"));
}

TEST_F(PlanCommandTest, SaysWhatIsWrongWithTheCommand) {
  EXPECT_THAT(Refusal({}), HasSubstr("either a job file or --case FILE"));
  EXPECT_THAT(Refusal({"job.yaml", "--case", cases_}), HasSubstr("either"));
  EXPECT_THAT(Refusal({"job.yaml", "--name", "long"}), HasSubstr("--name"));
  EXPECT_THAT(Refusal({"--case", cases_, "--tasks"}), HasSubstr("--json"));
  EXPECT_THAT(Refusal({"--case", cases_, "--name", "lung"}),
              HasSubstr("no case is called lung; there are mixed, long"));
  EXPECT_THAT(Refusal({"--case", cases_, "--planner", "best"}), HasSubstr("rally, arrival, local"));
  EXPECT_THAT(Refusal({"--case", cases_, "--order", "random"}), HasSubstr("--order: random"));
  EXPECT_THAT(Refusal({"--case", cases_, "--order", "arrival", "--planner", "rally"}),
              HasSubstr("give one of them"));
  EXPECT_THAT(Refusal({"--case", cases_, "--tolerance", "1.5"}), HasSubstr("--tolerance"));
  EXPECT_THAT(Refusal({"--case", cases_, "--repeats", "0"}), HasSubstr("--repeats"));
  EXPECT_THAT(Refusal({"--case", cases_, "--search", "long"}), HasSubstr("--search: long"));
  EXPECT_THAT(Refusal({"--case", cases_, "--search", "0s"}), HasSubstr("(0s, 1h]"));
  EXPECT_EQ(Rally({"--case", cases_, "--search", "1ms"}), 0);
  EXPECT_EQ(Rally({"--case", Path("none.json")}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("none.json"));
  EXPECT_EQ(Rally({"--case", cases_, "--profile", Path("none.profile")}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("none.profile"));
  EXPECT_EQ(Rally({"--case", cases_, "--svg", Path("no/such/folder/plan.svg")}), 1);
  EXPECT_THAT(err_.str(), HasSubstr("plan.svg"));
}

}  // namespace
}  // namespace rally
