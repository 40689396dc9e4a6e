// UCX between two real processes, one of which is killed in the middle of a transfer.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <absl/strings/escaping.h>
#include <absl/strings/strip.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/transport/transport_fabric.h"
#include "workers/transport/ucx_transport.h"

namespace rally {
namespace {

// A child process that runs ucx-peer; killed at the latest when destroyed.
class PeerProcess {
 public:
  explicit PeerProcess(const std::string& transports, bool stranger = false) {
    int to_child[2], from_child[2];
    EXPECT_EQ(pipe2(to_child, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(from_child, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, to_child[0], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&actions, from_child[1], STDOUT_FILENO);
    std::string program = RALLY_UCX_PEER, argument = transports, role = "stranger";
    char* arguments[] = {program.data(), argument.data(), stranger ? role.data() : nullptr,
                         nullptr};
    EXPECT_EQ(posix_spawn(&pid_, program.c_str(), &actions, nullptr, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(to_child[0]);
    close(from_child[1]);
    in_ = fdopen(from_child[0], "r");
    out_ = fdopen(to_child[1], "w");
  }
  ~PeerProcess() {
    Kill();
    fclose(in_);
    fclose(out_);
  }

  // Gives the child our address, and returns the child's.
  std::string ExchangeAddress(const std::string& address) {
    std::fprintf(out_, "%s\n", absl::BytesToHexString(address).c_str());
    std::fflush(out_);
    return absl::HexStringToBytes(ReadLine());
  }

  // Waits until the child has begun to send message `number` back.
  void AwaitEcho(int64_t number) { EXPECT_EQ(ReadLine(), std::to_string(number)); }

  void Kill() {
    if (pid_ <= 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  std::string ReadLine() {
    char* line = nullptr;
    size_t capacity = 0;
    ssize_t length = getline(&line, &capacity, in_);
    std::string text = length > 0 ? line : "";
    free(line);
    return std::string(absl::StripSuffix(text, "\n"));
  }

  pid_t pid_ = -1;
  FILE* in_ = nullptr;
  FILE* out_ = nullptr;
};

class UcxProcessTest : public testing::TestWithParam<std::string> {
 protected:
  UcxProcessTest() : peer_(GetParam()) {
    UcxOptions options;
    options.rank = 0;
    options.ranks = 2;
    options.transports = GetParam();
    auto transport = MakeUcxTransport(options);
    EXPECT_TRUE(transport.ok()) << transport.status();
    transport_ = *std::move(transport);
    std::string address = transport_->address();
    std::string addresses[] = {address, peer_.ExchangeAddress(address)};
    EXPECT_EQ(transport_->Connect(addresses, ""), absl::OkStatus());
  }

  // Tells the peer how long the messages are, and echoes one.
  void Start(uint64_t size) {
    std::byte header[sizeof(size)];
    std::memcpy(header, &size, sizeof(size));
    Transfer send = transport_->Send(1, NumberedTag(0, 0), header);
    ASSERT_EQ(transport_->Wait({send}, Patience()), absl::OkStatus());
    Echo(size, 1);
  }

  // Sends message `number` and gets it back.
  void Echo(size_t size, int64_t number) {
    std::vector<std::byte> sent = Pattern(size, number), received(size);
    Transfer transfers[] = {
        transport_->Send(1, NumberedTag(0, number), sent),
        transport_->Receive(1, NumberedTag(1, number), absl::MakeSpan(received))};
    ASSERT_EQ(transport_->Wait(transfers, Patience()), absl::OkStatus());
    ASSERT_TRUE(sent == received);
  }

  PeerProcess peer_;
  std::unique_ptr<Transport> transport_;
};

INSTANTIATE_TEST_SUITE_P(Transports, UcxProcessTest,
                         testing::Values(UcxOptions().transports, kUcxAnyTransport, "tcp,self"),
                         [](const auto& info) {
                           return info.index == 0   ? "SharedMemory"
                                  : info.index == 1 ? "Any"
                                                    : "Tcp";
                         });

TEST_P(UcxProcessTest, SurvivesAPeerKilledInMidTransfer) {
  constexpr size_t kSize = size_t{64} << 20;
  Start(kSize);
  std::vector<std::byte> sent(kSize), received(kSize);
  Transfer transfers[] = {transport_->Send(1, NumberedTag(0, 2), sent),
                          transport_->Receive(1, NumberedTag(1, 2), absl::MakeSpan(received))};
  peer_.Kill();
  absl::Time deadline = absl::Now() + absl::Milliseconds(500);
  absl::Status status = transport_->Wait(transfers, deadline);
  EXPECT_LT(absl::Now() - deadline, absl::Seconds(1));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status)) << status;
  EXPECT_EQ(transport_->status(), status);
  absl::Time begin = absl::Now();
  transport_.reset();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
}

// The peer has announced a large message and dies before it has been read.
TEST_P(UcxProcessTest, SurvivesAPeerKilledWithAMessageUnread) {
  constexpr size_t kSize = size_t{4} << 20;
  Start(kSize);
  peer_.AwaitEcho(1);
  std::vector<std::byte> sent(kSize), received(kSize);
  Transfer send = transport_->Send(1, NumberedTag(0, 2), sent);
  ASSERT_EQ(transport_->Wait({send}, Patience()), absl::OkStatus());
  peer_.AwaitEcho(2);
  peer_.Kill();
  Transfer receive = transport_->Receive(1, NumberedTag(1, 2), absl::MakeSpan(received));
  absl::Status status = transport_->Wait({receive}, absl::Now() + absl::Milliseconds(500));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status)) << status;
}

TEST_P(UcxProcessTest, SurvivesAPeerKilledWhileIdle) {
  Start(1000);
  peer_.Kill();
  std::vector<std::byte> sent(1 << 20), received(1 << 20);
  Transfer transfers[] = {transport_->Send(1, NumberedTag(0, 2), sent),
                          transport_->Receive(1, NumberedTag(1, 2), absl::MakeSpan(received))};
  absl::Status status = transport_->Wait(transfers, absl::Now() + absl::Milliseconds(500));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status)) << status;
}

// A process that knows this one's address, but not what the members of the epoch know.
TEST_P(UcxProcessTest, StrangersDisturbNothing) {
  if (GetParam() == "tcp,self") GTEST_SKIP() << "UCX before 1.14 aborts when such a stranger dies";
  constexpr size_t kSize = 300000;
  Start(kSize);
  int64_t number = 2;
  for (int i = 0; i < 3; ++i) {
    PeerProcess stranger(GetParam(), /*stranger=*/true);
    stranger.ExchangeAddress(transport_->address());
    for (int64_t sent = 100; sent <= 500; sent += 100) {
      stranger.AwaitEcho(sent);
      ASSERT_NO_FATAL_FAILURE(Echo(kSize, number++));
    }
    stranger.Kill();
    ASSERT_NO_FATAL_FAILURE(Echo(kSize, number++));
  }
  EXPECT_EQ(transport_->status(), absl::OkStatus());
  EXPECT_EQ(transport_->counters().strangers, 0) << "they can name nothing that is waited for";
}

TEST_P(UcxProcessTest, AbortEndsATransferWithADeadPeer) {
  Start(1 << 20);
  std::vector<std::byte> received(1 << 20);
  Transfer receive = transport_->Receive(1, NumberedTag(1, 2), absl::MakeSpan(received));
  peer_.Kill();
  transport_->Abort(absl::UnavailableError("the control plane lost rank 1"));
  absl::Status status = transport_->Wait({receive}, Patience());
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
}

}  // namespace
}  // namespace rally
