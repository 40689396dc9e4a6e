#include "services/cli/victim.h"

#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using testing::HasSubstr;

void Add(v1::ProcessRole role, const std::string& host, int64_t pid,
         v1::ListProcessesResponse* processes) {
  v1::Process* process = processes->add_processes();
  process->set_role(role);
  process->set_host(host);
  process->set_process_id(pid);
  if (role != v1::PROCESS_ROLE_COORDINATOR) process->set_member_id("member");
}

v1::ListProcessesResponse Cluster() {
  v1::ListProcessesResponse processes;
  Add(v1::PROCESS_ROLE_COORDINATOR, "here", 1, &processes);
  Add(v1::PROCESS_ROLE_WORKER, "there", 2, &processes);
  Add(v1::PROCESS_ROLE_ATTENTION_SERVER, "here", 3, &processes);
  Add(v1::PROCESS_ROLE_ATTENTION_SERVER, "there", 4, &processes);
  Add(v1::PROCESS_ROLE_ATTENTION_SERVER, "here", 5, &processes);
  return processes;
}

TEST(VictimTest, EveryProcessOfTheRoleOnThisHostIsChosenAndNoOther) {
  std::mt19937_64 random(1);
  std::set<int64_t> chosen;
  for (int i = 0; i < 100; ++i) {
    const auto victim = ChooseVictim(Cluster(), v1::PROCESS_ROLE_ATTENTION_SERVER, "here", &random);
    ASSERT_TRUE(victim.ok()) << victim.status();
    chosen.insert(victim->process_id());
  }
  EXPECT_EQ(chosen, (std::set<int64_t>{3, 5}));
}

TEST(VictimTest, EqualSeedsChooseEqually) {
  std::mt19937_64 first(7), second(7);
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(
        ChooseVictim(Cluster(), v1::PROCESS_ROLE_ATTENTION_SERVER, "here", &first)->process_id(),
        ChooseVictim(Cluster(), v1::PROCESS_ROLE_ATTENTION_SERVER, "here", &second)->process_id());
  }
}

TEST(VictimTest, SaysWhyThereIsNone) {
  std::mt19937_64 random(1);
  const absl::Status elsewhere =
      ChooseVictim(Cluster(), v1::PROCESS_ROLE_WORKER, "here", &random).status();
  EXPECT_EQ(elsewhere.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(elsewhere.message(), HasSubstr("another host (there), this one is here"));
  const absl::Status none =
      ChooseVictim({}, v1::PROCESS_ROLE_ATTENTION_SERVER, "here", &random).status();
  EXPECT_EQ(none.code(), absl::StatusCode::kUnavailable);  // One may come yet.
  EXPECT_THAT(none.message(), HasSubstr("no attention-server now"));
}

TEST(VictimTest, RolesHaveWords) {
  for (const v1::ProcessRole role :
       {v1::PROCESS_ROLE_ATTENTION_SERVER, v1::PROCESS_ROLE_WORKER, v1::PROCESS_ROLE_COORDINATOR}) {
    EXPECT_EQ(*ParseRole("--kill", std::string(RoleWord(role))), role);
    EXPECT_THAT(kRoleWords, HasSubstr(std::string(RoleWord(role))));
  }
  const absl::Status wrong = ParseRole("--stop", "server").status();
  EXPECT_EQ(wrong.message(), "--stop: server is not one of attention-server, worker, coordinator");
  EXPECT_EQ(VictimText(Cluster().processes(0)), "coordinator (process 1)");
  EXPECT_EQ(VictimText(Cluster().processes(1)), "member (process 2)");
}

}  // namespace
}  // namespace rally
