#include "services/cli/completion.h"

#include <filesystem>
#include <fstream>
#include <string>

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/atomic_file.h"
#include "services/cli/server_process.h"

namespace rally {
namespace {

using testing::HasSubstr;

CommandTree Tree() {
  CommandTree prepare = {"prepare", "Make a user's dataset", {{"--output", "Where", true}}, {}};
  CommandTree data = {"data", "Datasets", {}, {prepare}};
  CommandTree list = {"list", "List jobs", {{"--json", "JSON", false}}, {}};
  return {"rally", "", {{"--help", "Help", false}}, {data, list}};
}

// What bash offers for the last of `words`.
std::string CompleteInBash(const std::string& words, int count) {
  const std::string directory = testing::TempDir();
  const absl::StatusOr<std::string> script = CompletionScript(Tree(), "bash");
  EXPECT_TRUE(script.ok()) << script.status();
  std::ofstream(directory + "/completion.bash")
      << *script << "COMP_WORDS=(" << words << ")\nCOMP_CWORD=" << count - 1
      << "\n_rally\necho \"${COMPREPLY[*]}\"\n";
  ServerCommand command = {
      "bash", "/bin/bash", {directory + "/completion.bash"}, directory + "/completion.out"};
  const auto bash = ServerProcess::Spawn(command);
  EXPECT_TRUE(bash.ok()) << bash.status();
  EXPECT_TRUE((*bash)->WaitForEnd(absl::Now() + absl::Seconds(30)));
  return ReadFile(command.log_path).value_or("no output");
}

TEST(CompletionTest, BashCompletesEveryLevel) {
  EXPECT_EQ(CompleteInBash("rally ''", 2), "data list --help\n");
  EXPECT_EQ(CompleteInBash("rally da", 2), "data\n");
  EXPECT_EQ(CompleteInBash("rally data ''", 3), "prepare\n");
  EXPECT_EQ(CompleteInBash("rally data prepare --", 4), "--output\n");
  EXPECT_EQ(CompleteInBash("rally list --j", 3), "--json\n");
  EXPECT_EQ(CompleteInBash("rally list some-id --j", 4), "--json\n");
}

TEST(CompletionTest, EveryShellNamesEveryCommand) {
  for (const char* shell : {"bash", "zsh", "fish"}) {
    const absl::StatusOr<std::string> script = CompletionScript(Tree(), shell);
    ASSERT_TRUE(script.ok()) << script.status();
    EXPECT_THAT(*script, HasSubstr("prepare"));
    EXPECT_THAT(*script, HasSubstr("output"));
  }
  EXPECT_THAT(*CompletionScript(Tree(), "zsh"), testing::StartsWith("#compdef rally\n"));
  EXPECT_THAT(*CompletionScript(Tree(), "fish"),
              HasSubstr("complete -c rally -n '__fish_seen_subcommand_from data' -a prepare -d "
                        "'Make a users dataset'\n"));
}

TEST(CompletionTest, AnUnknownShellIsRefused) {
  EXPECT_EQ(CompletionScript(Tree(), "tcsh").status(),
            absl::InvalidArgumentError("shell: tcsh is not bash, zsh or fish"));
}

}  // namespace
}  // namespace rally
