#include "tests/bench/rank_group.h"

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <string>
#include <utility>

#include <absl/strings/str_cat.h>
#include <absl/time/clock.h>

#include "common/status_macros.h"
#include "proto/convert.h"
#include "rally/v1/cluster.pb.h"
#include "tests/bench/bench_rank.h"
#include "tests/bench/pipe_message.h"

namespace rally::bench {
namespace {

constexpr absl::Duration kAnswerTimeout = absl::Minutes(5);

struct RankProcess {
  pid_t pid = -1;
  int fd = -1;
};

class ForkedRankGroup final : public RankGroup {
 public:
  ~ForkedRankGroup() override {
    for (const RankProcess& rank : ranks_) {
      (void)WritePipeMessage(rank.fd, "");
      close(rank.fd);
    }
    const absl::Time patience = absl::Now() + absl::Seconds(5);
    for (const RankProcess& rank : ranks_) {
      while (waitpid(rank.pid, nullptr, WNOHANG) == 0) {
        if (absl::Now() > patience) kill(rank.pid, SIGKILL);
        absl::SleepFor(absl::Milliseconds(1));
      }
    }
  }

  absl::Status Fork(const RankGroupOptions& options) {
    for (int32_t rank = 0; rank < options.spec.topology().ranks(); ++rank) {
      int fds[2];
      if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0) {
        return absl::ErrnoToStatus(errno, "socketpair");
      }
      const pid_t pid = fork();
      if (pid < 0) return absl::ErrnoToStatus(errno, "fork");
      if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(fds[0]);
        for (const RankProcess& other : ranks_) close(other.fd);
        _exit(RunBenchRank(fds[1], rank, options));
      }
      close(fds[1]);
      ranks_.push_back({pid, fds[0]});
    }
    return absl::OkStatus();
  }

  absl::Status ConnectRanks() {
    v1::CoordinatorMessage message;
    v1::Connect& connect = *message.mutable_connect();
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      RALLY_ASSIGN_OR_RETURN(const v1::MemberMessage answer, Receive(rank));
      connect.add_transport_addresses(answer.prepared().transport_address());
      if (rank == 0) connect.set_rendezvous(answer.prepared().rendezvous());
    }
    RALLY_RETURN_IF_ERROR(SendAll(message));
    for (size_t rank = 0; rank < ranks_.size(); ++rank)
      RALLY_RETURN_IF_ERROR(Receive(rank).status());
    return absl::OkStatus();
  }

  absl::StatusOr<RoundTimes> Run(Plan plan) override {
    plan.round = round_;
    plan.step = ++round_;
    v1::CoordinatorMessage message;
    *message.mutable_plan()->mutable_plan() = ToProto(plan);
    const absl::Time start = absl::Now();
    RALLY_RETURN_IF_ERROR(SendAll(message));
    RoundTimes times;
    for (size_t rank = 0; rank < ranks_.size(); ++rank) {
      RALLY_ASSIGN_OR_RETURN(const v1::MemberMessage answer, Receive(rank));
      const v1::RoundDone& done = answer.round_done();
      times.ranks.push_back({FromProto(done.compute()), FromProto(done.waiting()),
                             FromProto(done.attention_compute())});
      if (rank == 0) times.loss = done.loss();
    }
    times.wall = absl::Now() - start;
    return times;
  }

 private:
  absl::Status SendAll(const v1::CoordinatorMessage& message) {
    const std::string bytes = message.SerializeAsString();
    for (const RankProcess& rank : ranks_) {
      RALLY_RETURN_IF_ERROR(WritePipeMessage(rank.fd, bytes));
    }
    return absl::OkStatus();
  }

  absl::StatusOr<v1::MemberMessage> Receive(size_t rank) {
    auto bytes = ReadPipeMessage(ranks_[rank].fd, kAnswerTimeout);
    if (!bytes.ok()) return Annotate(bytes.status(), absl::StrCat("rank ", rank));
    v1::MemberMessage answer;
    if (!answer.ParseFromString(*bytes)) return absl::DataLossError("unreadable answer");
    if (answer.has_failed()) {
      return absl::Status(static_cast<absl::StatusCode>(answer.failed().code()),
                          absl::StrCat("rank ", rank, ": ", answer.failed().message()));
    }
    return answer;
  }

  std::vector<RankProcess> ranks_;
  int64_t round_ = 0;
};

}  // namespace

absl::StatusOr<std::unique_ptr<RankGroup>> RankGroup::Start(const RankGroupOptions& options) {
  auto group = std::make_unique<ForkedRankGroup>();
  RALLY_RETURN_IF_ERROR(group->Fork(options));
  RALLY_RETURN_IF_ERROR(group->ConnectRanks());
  return group;
}

}  // namespace rally::bench
