// The rally-coordinator program: flags, exit codes, address file, signals.
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "rally/v1/jobs.grpc.pb.h"
#include "tests/services/program.h"

namespace rally {
namespace {

using testing::HasSubstr;

class CoordinatorProgramTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "rally-program-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = pattern;
    watch_ = inotify_init1(IN_CLOEXEC);
    ASSERT_GE(inotify_add_watch(watch_, directory_.c_str(), IN_MOVED_TO), 0);
    const char* bin = std::getenv("RALLY_BIN_DIR");
    ASSERT_NE(bin, nullptr);
    program_ = std::string(bin) + "/rally-coordinator";
  }
  void TearDown() override {
    close(watch_);
    std::filesystem::remove_all(directory_);
  }

  Program Start(std::vector<std::string> flags, const std::string& name = "out") {
    flags.insert(flags.begin(), program_);
    return Program(flags, directory_ + "/" + name);
  }
  std::vector<std::string> ServingFlags() const {
    return {"--listen=127.0.0.1:0", "--http", "127.0.0.1:0", "--data-dir=" + directory_ + "/data",
            "--address-file=" + AddressFile()};
  }
  std::string AddressFile() const { return directory_ + "/addresses.json"; }
  // Serving, or an empty object at the deadline.
  nlohmann::json WaitAddresses() const {
    // The file comes by a rename into the directory that is watched.
    while (!std::filesystem::exists(AddressFile())) {
      pollfd waited = {watch_, POLLIN, 0};
      const int64_t left = absl::ToInt64Milliseconds(deadline_ - absl::Now());
      if (left <= 0 || poll(&waited, 1, static_cast<int>(left)) != 1) {
        return nlohmann::json::object();
      }
      char events[4096];
      if (read(watch_, events, sizeof(events)) < 0) return nlohmann::json::object();
    }
    std::ifstream file(AddressFile());
    return nlohmann::json::parse(file, nullptr, /*allow_exceptions=*/false);
  }

  const absl::Time deadline_ = absl::Now() + absl::Seconds(30);
  int watch_ = -1;  // Of inotify.
  std::string directory_;
  std::string program_;
};

TEST_F(CoordinatorProgramTest, HelpTeachesAndWrongUsageIsExitCode2) {
  Program help = Start({"--help"});
  EXPECT_EQ(help.Wait(deadline_), 0);
  EXPECT_THAT(help.Output(), HasSubstr("--data-dir=DIRECTORY"));
  const std::vector<std::vector<std::string>> wrong = {{"--nonsense=1"},
                                                       {"--listen=nowhere"},
                                                       {"--listen=127.0.0.1:70000"},
                                                       {"--log-level=loud"},
                                                       {"--round-timeout=0s"},
                                                       {"--keep-jobs=0"},
                                                       {"--ended-ttl=1"},
                                                       {"--max-active-jobs=0"},
                                                       {"--max-message-bytes=999999999999"},
                                                       {"--token-file="},
                                                       {"--data-root=relative"},
                                                       {"--tls-cert=only-one-of-two"},
                                                       {"stray"},
                                                       {"--http"}};
  for (const std::vector<std::string>& flags : wrong) {
    Program program = Start(flags);
    EXPECT_EQ(program.Wait(deadline_), 2) << flags[0];
    EXPECT_THAT(program.Output(), HasSubstr("see rally-coordinator --help"));
  }
}

TEST_F(CoordinatorProgramTest, OtherMachinesNeedTlsAndTokensAndDataRoots) {
  const std::vector<std::string> outside = {"--listen=0.0.0.0:0", "--http=127.0.0.1:0",
                                            "--data-dir=" + directory_ + "/data",
                                            "--address-file=" + AddressFile()};
  Program bare = Start(outside, "bare");
  EXPECT_EQ(bare.Wait(deadline_), 2);
  for (const char* text : {"--listen: 0.0.0.0:0", "--tls-cert", "--token-file", "--data-root",
                           "listen on 127.0.0.1", "--insecure"}) {
    EXPECT_THAT(bare.Output(), HasSubstr(text));
  }
  Program pages = Start({"--http=0.0.0.0:0", "--data-dir=" + directory_ + "/data"}, "pages");
  EXPECT_EQ(pages.Wait(deadline_), 2);
  EXPECT_THAT(pages.Output(), HasSubstr("--http: 0.0.0.0:0"));
  EXPECT_FALSE(std::filesystem::exists(directory_ + "/data"));

  std::vector<std::string> insecure = outside;
  insecure.push_back("--insecure");
  Program program = Start(insecure);
  EXPECT_TRUE(WaitAddresses().contains("grpc")) << program.Output();
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(deadline_), 0);
}

TEST_F(CoordinatorProgramTest, TakesAllTheDescriptorsItMay) {
  std::vector<std::string> command = {"/bin/sh", "-c", "ulimit -Sn 200; exec \"$0\" \"$@\"",
                                      program_};
  for (const std::string& flag : ServingFlags()) command.push_back(flag);
  rlimit own = {};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &own), 0);
  Program program(command, directory_ + "/out");
  const nlohmann::json addresses = WaitAddresses();
  ASSERT_TRUE(addresses.contains("pid")) << program.Output();
  rlimit its = {};
  ASSERT_EQ(prlimit(addresses["pid"].get<pid_t>(), RLIMIT_NOFILE, nullptr, &its), 0);
  EXPECT_EQ(its.rlim_cur, own.rlim_max);
  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(deadline_), 0) << program.Output();
}

TEST_F(CoordinatorProgramTest, ServesUntilSigtermAndLeavesNothingListening) {
  Program program = Start(ServingFlags());
  const nlohmann::json addresses = WaitAddresses();
  ASSERT_TRUE(addresses.contains("grpc")) << program.Output();
  const auto stub = v1::JobService::NewStub(
      grpc::CreateChannel(addresses["grpc"], grpc::InsecureChannelCredentials()));
  {
    grpc::ClientContext context;
    context.set_deadline(absl::ToChronoTime(deadline_));
    v1::ListJobsResponse response;
    EXPECT_TRUE(stub->ListJobs(&context, v1::ListJobsRequest(), &response).ok());
  }
  // A second one: its port is taken, or its data directory is.
  Program same_port = Start(
      {"--listen", addresses["grpc"], "--http=127.0.0.1:0", "--data-dir=" + directory_ + "/other"},
      "same_port");
  EXPECT_EQ(same_port.Wait(deadline_), 1);
  EXPECT_THAT(same_port.Output(), HasSubstr("Address already in use"));
  Program same_data = Start(ServingFlags(), "same_data");
  EXPECT_EQ(same_data.Wait(deadline_), 1);
  EXPECT_THAT(same_data.Output(), HasSubstr("another coordinator uses this data directory"));

  program.Signal(SIGTERM);
  EXPECT_EQ(program.Wait(deadline_), 0) << program.Output();
  EXPECT_FALSE(std::filesystem::exists(AddressFile()));
}

}  // namespace
}  // namespace rally
