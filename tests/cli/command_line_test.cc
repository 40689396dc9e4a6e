#include "services/cli/command_line.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "services/cli/submission.h"
#include "tests/cli/scripted_job_service.h"

namespace rally {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

class CommandLineTest : public testing::Test {
 protected:
  void SetUp() override {
    directory_ =
        absl::StrCat(testing::TempDir(), "/command_line_",
                     testing::UnitTest::GetInstance()->current_test_info()->name(), "_", getpid());
    std::filesystem::create_directories(directory_);
  }

  void TearDown() override { std::filesystem::remove_all(directory_); }

  // Runs `rally ARGUMENTS...` and gives its exit code; see out() and err().
  int Rally(std::vector<std::string> arguments) {
    out_.str("");
    err_.str("");
    std::vector<const char*> argv = {"rally"};
    for (const std::string& argument : arguments) argv.push_back(argument.c_str());
    Console console(&out_, &err_, /*err_width=*/0);
    const CommandContext context = {&console, shutdown_.get(), directory_};
    return RunCommandLine(static_cast<int>(argv.size()), argv.data(), context);
  }

  int RallyAt(const ScriptedJobService& service, std::vector<std::string> arguments) {
    arguments.push_back(absl::StrCat("--coordinator=", service.address()));
    return Rally(std::move(arguments));
  }

  std::string out() const { return out_.str(); }
  std::string err() const { return err_.str(); }

  std::string Write(const std::string& name, const std::string& text) {
    const std::string path = absl::StrCat(directory_, "/", name);
    std::ofstream(path) << text;
    return path;
  }

  std::string GoodJob() {
    return Write("good-job.yaml", "data: {path: d}\ntraining: {steps: 3}\n");
  }

  const std::unique_ptr<ShutdownSignal> shutdown_ = ShutdownSignal::Install();
  std::string directory_;
  std::ostringstream out_;
  std::ostringstream err_;
};

TEST_F(CommandLineTest, HelpTeachesEverywhere) {
  EXPECT_EQ(Rally({"--help"}), 0);
  EXPECT_THAT(out(), HasSubstr("Examples:"));
  for (const char* command : {"run", "up", "submit", "list", "get", "watch", "logs", "cancel",
                              "chaos", "plan", "completion", "version"}) {
    EXPECT_EQ(Rally({command, "--help"}), 0) << command;
    EXPECT_THAT(out(), HasSubstr(absl::StrCat("  rally ", command))) << command;
    EXPECT_THAT(out(), HasSubstr("--json")) << command;
  }
  EXPECT_EQ(Rally({"data", "prepare", "--help"}), 0);
  EXPECT_THAT(out(), HasSubstr("  rally data prepare books/ --output data/books"));
}

TEST_F(CommandLineTest, UsageErrorsExitWithTwo) {
  EXPECT_EQ(Rally({}), 2);
  EXPECT_THAT(err(), HasSubstr("Subcommands:"));
  EXPECT_EQ(Rally({"frobnicate"}), 2);
  EXPECT_EQ(Rally({"list", "--frobnicate"}), 2);
  EXPECT_THAT(err(), StartsWith("rally list: "));
  EXPECT_THAT(err(), HasSubstr("--frobnicate"));
  EXPECT_THAT(err(), HasSubstr("Try `rally list --help`."));
  EXPECT_EQ(Rally({"get"}), 2);
  EXPECT_EQ(Rally({"up", "--workers", "0"}), 2);
  EXPECT_EQ(Rally({"up", "--workers", "two"}), 2);
  EXPECT_EQ(Rally({"up", "--listen", "nonsense"}), 2);
  EXPECT_THAT(err(), HasSubstr("--listen: \"nonsense\" is not HOST:PORT"));
  EXPECT_EQ(Rally({"up", "--http", "127.0.0.1:70000"}), 2);
  EXPECT_THAT(err(), HasSubstr("--http: \"127.0.0.1:70000\" is not HOST:PORT"));
  EXPECT_EQ(Rally({"list", "--coordinator=nowhere"}), 2);
  EXPECT_EQ(Rally({"chaos", "--kill=worker"}), 2);
  EXPECT_EQ(Rally({"chaos", "--job=a"}), 2);
  EXPECT_EQ(Rally({"chaos", "--job=a", "--kill=server"}), 2);
  EXPECT_EQ(Rally({"chaos", "--job=a", "--kill=worker", "--every=50ms"}), 2);
  EXPECT_THAT(err(), HasSubstr("--every: 50ms is not a duration in [100ms, 24h]"));
  EXPECT_EQ(Rally({"chaos", "--job=a", "--kill=worker", "--patience=0s"}), 2);
  EXPECT_THAT(err(), HasSubstr("--patience: 0s is not a duration in [1s, 24h]"));
  EXPECT_EQ(Rally({"list", "--phase", "sleeping"}), 2);
  EXPECT_EQ(Rally({"cancel", "my-job", "--grace", "2h"}), 2);
  EXPECT_EQ(Rally({"completion", "tcsh"}), 2);
  EXPECT_THAT(out(), IsEmpty());
}

TEST_F(CommandLineTest, ABadJobFileExitsWithTwoAndNamesTheLine) {
  const std::string path = Write("bad.yaml", "data: {path: d}\nmodel:\n  head_dim: 48\n");
  for (const char* command : {"run", "submit"}) {
    EXPECT_EQ(Rally({command, path}), 2);
    EXPECT_THAT(err(), HasSubstr(absl::StrCat(path, ":3: model.head_dim: 48")));
  }
  EXPECT_EQ(Rally({"submit", Write("empty.yaml", "")}), 2);
  EXPECT_THAT(err(), HasSubstr("empty.yaml:1: the file is empty"));
  EXPECT_EQ(Rally({"submit", GoodJob(), "--id", "Not-An-Id"}), 2);
  EXPECT_EQ(Rally({"submit", Write("id.yaml", "id: 1st\ndata: {path: d}\n")}), 2);
  EXPECT_THAT(err(), HasSubstr("id.yaml:1: "));
}

TEST_F(CommandLineTest, RunFailsBeforeItStartsAnythingWithoutItsDataset) {
  EXPECT_EQ(Rally({"run", GoodJob()}), 1);
  EXPECT_THAT(err(), HasSubstr("data.path"));
  EXPECT_THAT(err(), testing::Not(HasSubstr("starting")));
}

TEST_F(CommandLineTest, SubmitSendsAbsolutePathsAndAnId) {
  ScriptedJobService service;
  EXPECT_EQ(RallyAt(service, {"submit", GoodJob()}), 0) << err();
  EXPECT_EQ(RallyAt(service, {"submit", GoodJob(), "--id", "chosen", "--validate-only"}), 0);
  const std::vector<v1::SubmitJobRequest> requests = service.submissions();
  ASSERT_EQ(requests.size(), 2u);
  EXPECT_THAT(requests[0].job_id(), StartsWith("good-job-"));
  EXPECT_EQ(requests[0].spec().data().path(), std::filesystem::absolute("d").string());
  EXPECT_FALSE(requests[0].validate_only());
  EXPECT_EQ(requests[1].job_id(), "chosen");
  EXPECT_TRUE(requests[1].validate_only());
}

TEST_F(CommandLineTest, FailuresExitWithOne) {
  ScriptedJobService service;
  service.SetError(grpc::Status(grpc::StatusCode::ALREADY_EXISTS, "exists with another spec"));
  EXPECT_EQ(RallyAt(service, {"submit", GoodJob()}), 1);
  EXPECT_THAT(err(), HasSubstr("exists with another spec"));
  EXPECT_EQ(RallyAt(service, {"get", "no-job"}), 1);
  service.Stop();
  EXPECT_EQ(RallyAt(service, {"list"}), 1);
  EXPECT_THAT(err(), HasSubstr(service.address()));
}

TEST_F(CommandLineTest, WatchFollowsAJobToItsEnd) {
  ScriptedJobService service;
  service.SetEvents(EventsOfJob(3, v1::JOB_PHASE_SUCCEEDED), 100, false);
  EXPECT_EQ(RallyAt(service, {"watch", "my-job"}), 0) << err();
  EXPECT_THAT(err(), HasSubstr("my-job  running"));
  EXPECT_THAT(err(), HasSubstr("step 1/3  loss 4.0000"));
  EXPECT_THAT(out(), HasSubstr("job my-job succeeded after step 3 of 3"));
  service.SetEvents(EventsOfJob(3, v1::JOB_PHASE_FAILED), 100, false);
  EXPECT_EQ(RallyAt(service, {"watch", "my-job"}), 1);
  EXPECT_THAT(err(), HasSubstr("job my-job failed: as scripted"));
}

TEST_F(CommandLineTest, WatchPrintsJsonLines) {
  ScriptedJobService service;
  service.SetEvents(EventsOfJob(2, v1::JOB_PHASE_SUCCEEDED), 100, false);
  EXPECT_EQ(RallyAt(service, {"watch", "my-job", "--json", "--after", "1"}), 0) << err();
  std::istringstream lines(out());
  std::string line;
  int64_t sequence = 1;
  while (std::getline(lines, line)) {
    EXPECT_EQ(nlohmann::json::parse(line)["sequence"], std::to_string(++sequence));
  }
  EXPECT_EQ(sequence, 4);
}

TEST_F(CommandLineTest, SubmitAndWatchEndsWithTheSummary) {
  ScriptedJobService service;
  service.SetEvents(EventsOfJob(3, v1::JOB_PHASE_SUCCEEDED), 100, false);
  EXPECT_EQ(RallyAt(service, {"submit", GoodJob(), "--watch", "--json"}), 0) << err();
  const nlohmann::json summary = nlohmann::json::parse(out());
  EXPECT_EQ(summary["state"], "succeeded");
  EXPECT_EQ(summary["first_loss"], 4.0);
  EXPECT_EQ(summary["last_loss"], 2.0);
}

TEST_F(CommandLineTest, ListGetLogsAndCancelSpeakBothLanguages) {
  ScriptedJobService service;
  v1::Job job;
  job.set_job_id("my-job");
  job.mutable_spec()->set_workers(2);
  job.mutable_status()->set_phase(v1::JOB_PHASE_RUNNING);
  service.SetJobs({job});
  v1::LogLine line;
  line.set_rank(1);
  line.set_severity("info");
  line.set_text("hello");
  service.SetLines({line});
  EXPECT_EQ(RallyAt(service, {"list"}), 0);
  EXPECT_THAT(out(), HasSubstr("my-job  running"));
  EXPECT_EQ(RallyAt(service, {"list", "--json"}), 0);
  EXPECT_EQ(nlohmann::json::parse(out())["jobs"][0]["job_id"], "my-job");
  EXPECT_EQ(RallyAt(service, {"get", "my-job"}), 0);
  EXPECT_THAT(out(), HasSubstr("phase       running"));
  EXPECT_EQ(RallyAt(service, {"get", "my-job", "--yaml"}), 0);
  EXPECT_EQ(out(), "id: my-job\nworkers: 2\n");
  EXPECT_EQ(RallyAt(service, {"get", "my-job", "--json"}), 0);
  EXPECT_EQ(nlohmann::json::parse(out())["spec"]["workers"], 2);
  EXPECT_EQ(RallyAt(service, {"logs", "my-job"}), 0);
  EXPECT_EQ(out(), "1970-01-01T00:00:00.000Z rank 1 info hello\n");
  EXPECT_EQ(RallyAt(service, {"logs", "my-job", "--json", "--rank", "1"}), 0);
  EXPECT_EQ(nlohmann::json::parse(out())["text"], "hello");
  EXPECT_EQ(RallyAt(service, {"logs", "my-job", "--rank", "0"}), 0);
  EXPECT_THAT(out(), IsEmpty());
  EXPECT_EQ(RallyAt(service, {"cancel", "my-job", "--grace", "90s"}), 0);
  EXPECT_EQ(service.last_cancel().grace_period().seconds(), 90);
}

TEST_F(CommandLineTest, PreparesAndMeasuresADataset) {
  const std::string text = Write("a.txt", "abab");
  const std::string dataset = directory_ + "/dataset";
  EXPECT_EQ(Rally({"data", "prepare", text, "--output", dataset, "--json"}), 0) << err();
  const nlohmann::json prepared = nlohmann::json::parse(out());
  EXPECT_EQ(prepared["documents"], 1);
  EXPECT_EQ(prepared["tokens"], 5);
  EXPECT_EQ(Rally({"data", "stats", dataset, "--json"}), 0) << err();
  EXPECT_EQ(nlohmann::json::parse(out())["targets"], 4);
  EXPECT_GT(BigramEntropyOf(dataset, *shutdown_).value(), 0.0);
  EXPECT_EQ(Rally({"data", "prepare", text, "--output", dataset}), 1);  // It exists.
  EXPECT_EQ(Rally({"data", "prepare", Write("empty.txt", ""), "--output", dataset + "2"}), 1);
  EXPECT_FALSE(std::filesystem::exists(dataset + "2"));
  EXPECT_EQ(Rally({"data", "prepare", text}), 2);
  EXPECT_EQ(Rally({"data", "stats", directory_ + "/nothing"}), 1);
  EXPECT_EQ(BigramEntropyOf(directory_ + "/nothing", *shutdown_).value(), std::nullopt);
  shutdown_->Request();
  EXPECT_TRUE(absl::IsCancelled(BigramEntropyOf(dataset, *shutdown_).status()));
}

TEST_F(CommandLineTest, PrintsCompletionsAndVersion) {
  EXPECT_EQ(Rally({"completion", "bash"}), 0);
  EXPECT_THAT(out(), HasSubstr("'rally data prepare') choices="));
  EXPECT_EQ(Rally({"version"}), 0);
  EXPECT_THAT(out(), StartsWith("rally "));
  EXPECT_EQ(Rally({"version", "--json"}), 0);
  EXPECT_TRUE(nlohmann::json::parse(out()).contains("version"));
}

}  // namespace
}  // namespace rally
