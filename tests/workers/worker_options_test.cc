#include "workers/worker_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(WorkerOptionsTest, ReadsEveryFlag) {
  const auto options = ParseWorkerOptions(
      {"--role=attention", "--coordinator", "10.0.0.1:99", "--id=a", "--advertise-host=10.0.0.2",
       "--threads=3", "--cpus=0-2", "--transports=tcp", "--network-devices=eth0",
       "--phase-timeout=90s", "--grace=0", "--log-level=debug", "--instruction-set=avx2",
       "--checksums=off", "--tls-ca=ca", "--tls-cert=cert", "--tls-key", "key",
       "--token-file=token"});
  ASSERT_TRUE(options.ok()) << options.status();
  EXPECT_EQ(options->role, v1::MEMBER_ROLE_ATTENTION);
  EXPECT_EQ(options->coordinator, "10.0.0.1:99");
  EXPECT_EQ(options->id, "a");
  EXPECT_EQ(options->advertise_host, "10.0.0.2");
  EXPECT_EQ(options->threads, 3);
  EXPECT_THAT(options->cpus, ElementsAre(0, 1, 2));
  EXPECT_EQ(options->transports, "tcp");
  EXPECT_EQ(options->network_devices, "eth0");
  EXPECT_EQ(options->phase_timeout, absl::Seconds(90));
  EXPECT_EQ(options->grace, absl::ZeroDuration());
  EXPECT_EQ(options->log_level, "debug");
  EXPECT_EQ(options->instruction_set, CpuInstructionSet::kAvx2);
  EXPECT_FALSE(options->checksums);
  EXPECT_EQ(options->security.tls, (TlsFiles{"ca", "cert", "key"}));
  EXPECT_EQ(options->security.token_file, "token");
}

TEST(WorkerOptionsTest, NamesTheFlagAndWhatItAccepts) {
  const struct {
    const char* argument;
    const char* message;
  } cases[] = {
      {"--role=gpu", "--role: \"gpu\" is not \"model\", \"attention\" or \"profile\""},
      {"--coordinator=here", "--coordinator: \"here\" is not HOST:PORT"},
      {"--coordinator=here:70000", "[1, 65535]"},
      {"--threads=-1", "--threads: \"-1\" is not a number in [0, 4096]"},
      {"--phase-timeout=5", "--phase-timeout: \"5\" is not a duration in [1s, 24h]"},
      {"--grace=-1s", "--grace"},
      {"--cpus=3-1", "--cpus: \"3-1\" is not a list of cores"},
      {"--log-level=loud", "--log-level: \"loud\" is not debug"},
      {"--instruction-set=sse",
       "--instruction-set: \"sse\" is not best, portable, avx2, avx512 or avx512_bf16"},
      {"--checksums=no", "--checksums: \"no\" is not on or off"},
      {"--token-file=", "--token-file: \"\" is not the path of a file"},
      {"--id=", "--id: \"\" is not a name"},
      {"--profile-request=x", "--profile-request: goes with --role=profile"},
      {"--role=profile", "--profile-request: goes with --role=profile"},
      {"--colour=red", "--colour: there is no such flag"},
      {"--threads", "--threads: needs a value"},
      {"model", "\"model\": only flags"},
  };
  for (const auto& c : cases) {
    const auto options = ParseWorkerOptions({"--role=model", c.argument});
    ASSERT_FALSE(options.ok()) << c.argument;
    EXPECT_THAT(std::string(options.status().message()), HasSubstr(c.message));
  }
  EXPECT_THAT(std::string(ParseWorkerOptions({}).status().message()),
              HasSubstr("--role: is required"));
}

TEST(WorkerOptionsTest, HelpNamesEveryFlagAndNeedsNoRole) {
  const auto options = ParseWorkerOptions({"--help"});
  ASSERT_TRUE(options.ok());
  EXPECT_TRUE(options->help);
  for (const char* flag : {"--role", "--coordinator", "--id", "--threads", "--cpus",
                           "--advertise-host", "--transports", "--network-devices",
                           "--phase-timeout", "--grace", "--log-level", "--instruction-set",
                           "--checksums", "--tls-ca", "--tls-cert", "--tls-key", "--token-file"}) {
    EXPECT_THAT(kWorkerHelp, HasSubstr(flag));
  }
}

TEST(WorkerOptionsTest, CpuLists) {
  EXPECT_THAT(*ParseCpuList("0"), ElementsAre(0));
  EXPECT_THAT(*ParseCpuList("0,2-4,7"), ElementsAre(0, 2, 3, 4, 7));
  for (const char* wrong : {"", "a", "1,1", "2,1", "0-", "-1", "0-99999"}) {
    EXPECT_FALSE(ParseCpuList(wrong).ok()) << wrong;
  }
}

}  // namespace
}  // namespace rally
