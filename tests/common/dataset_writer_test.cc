// The writer: whole or nothing, and bad input refused.
#include "common/dataset_writer.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/temp_directory.h"

namespace rally {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

constexpr DatasetInfo kBytes{.vocabulary = 257, .tokenizer = "bytes", .end_of_document = 256};

TEST(DatasetWriterTest, LeavesNothingWithoutFinish) {
  TempDirectory temp;
  {
    auto writer = DatasetWriter::Create(temp.path("set"), kBytes);
    ASSERT_TRUE(writer.ok());
    ASSERT_TRUE((*writer)->Add(std::vector<int32_t>(3000000, 7)).ok());
    EXPECT_FALSE(std::filesystem::exists(temp.path("set")));
  }
  EXPECT_THAT(temp.List(), IsEmpty());
}

TEST(DatasetWriterTest, LeavesTheDatasetAlone) {
  TempDirectory temp;
  auto writer = DatasetWriter::Create(temp.path("set/"), kBytes);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Add({}).ok());
  auto info = (*writer)->Finish();
  ASSERT_TRUE(info.ok()) << info.status();
  EXPECT_EQ(info->tokens, 1);
  writer->reset();
  EXPECT_THAT(temp.List(), ElementsAre("set"));
  std::vector<std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(temp.path("set"))) {
    files.push_back(entry.path().filename().string());
  }
  EXPECT_THAT(files, UnorderedElementsAre("dataset.json", "tokens.bin"));
}

TEST(DatasetWriterTest, RefusesAnExistingPath) {
  TempDirectory temp;
  temp.Write("set", "a file");
  EXPECT_EQ(DatasetWriter::Create(temp.path("set"), kBytes).status().code(),
            absl::StatusCode::kAlreadyExists);
  auto writer = DatasetWriter::Create(temp.path("late"), kBytes);
  ASSERT_TRUE(writer.ok());
  ASSERT_TRUE((*writer)->Add({}).ok());
  temp.Write("late/other", "made meanwhile");
  EXPECT_EQ((*writer)->Finish().status().code(), absl::StatusCode::kAlreadyExists);
  writer->reset();
  EXPECT_EQ(temp.Read("late/other"), "made meanwhile");
  EXPECT_THAT(temp.List(), ::testing::UnorderedElementsAre("set", "late"));
}

TEST(DatasetWriterTest, NeedsADocument) {
  TempDirectory temp;
  auto writer = DatasetWriter::Create(temp.path("set"), kBytes);
  ASSERT_TRUE(writer.ok());
  EXPECT_EQ((*writer)->Finish().status().code(), absl::StatusCode::kInvalidArgument);
  writer->reset();
  EXPECT_THAT(temp.List(), IsEmpty());
}

TEST(DatasetWriterTest, RefusesTokensOutsideTheVocabulary) {
  TempDirectory temp;
  auto writer = DatasetWriter::Create(temp.path("set"), kBytes);
  ASSERT_TRUE(writer.ok());
  for (int32_t token : {-1, 257, INT32_MAX}) {
    const absl::Status status = (*writer)->Add(std::vector<int32_t>{1, token});
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(status.message(),
                HasSubstr("token " + std::to_string(token) + " of document 0 is not in"));
  }
  ASSERT_TRUE((*writer)->Add(std::vector<int32_t>{256}).ok());
  auto info = (*writer)->Finish();
  ASSERT_TRUE(info.ok());
  EXPECT_EQ(info->tokens, 2) << "nothing of a refused document is kept";
}

TEST(DatasetWriterTest, RefusesBadInfo) {
  TempDirectory temp;
  for (const DatasetInfo& info :
       {DatasetInfo{.vocabulary = 0}, DatasetInfo{.vocabulary = 1LL << 32},
        DatasetInfo{.vocabulary = 5, .end_of_document = 5},
        DatasetInfo{.vocabulary = 5, .end_of_document = -1}}) {
    EXPECT_EQ(DatasetWriter::Create(temp.path("set"), info).status().code(),
              absl::StatusCode::kInvalidArgument);
  }
  EXPECT_EQ(DatasetWriter::Create("", kBytes).status().code(), absl::StatusCode::kInvalidArgument);
  const absl::Status status = DatasetWriter::Create(temp.path("no/where"), kBytes).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), HasSubstr("no/where.partial-"));
}

TEST(DatasetWriterTest, ReplacesWhatADeadProcessLeft) {
  TempDirectory temp;
  const pid_t dead = fork();
  if (dead == 0) _exit(0);
  ASSERT_EQ(waitpid(dead, nullptr, 0), dead);
  for (const pid_t pid : {getpid(), dead}) {
    temp.Write("set.partial-" + std::to_string(pid) + "/body", "half");
  }
  // Those of living processes and of other datasets are not ours to remove.
  const std::string living = "set.partial-" + std::to_string(getppid());
  const std::string other = "set-2.partial-" + std::to_string(dead);
  temp.Write(living + "/body", "half");
  temp.Write(other + "/body", "half");
  auto writer = DatasetWriter::Create(temp.path("set"), kBytes);
  ASSERT_TRUE(writer.ok()) << writer.status();
  ASSERT_TRUE((*writer)->Add({}).ok());
  EXPECT_TRUE((*writer)->Finish().ok());
  EXPECT_THAT(temp.List(), UnorderedElementsAre("set", living, other));
}

// The disk is full: stood in for by a limit on the size of a file, in a process of its own.
TEST(DatasetWriterTest, CleansUpWhenTheDiskIsFull) {
  TempDirectory temp;
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const rlimit limit{.rlim_cur = 1 << 20, .rlim_max = 1 << 20};
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_IGN);
    absl::Status status;
    {
      auto writer = DatasetWriter::Create(temp.path("set"), kBytes);
      status = (*writer)->Add(std::vector<int32_t>(3000000, 7));
      if (status.ok()) status = (*writer)->Finish().status();
    }
    _exit(status.code() == absl::StatusCode::kResourceExhausted ? 0 : 1);
  }
  int result = 0;
  ASSERT_EQ(waitpid(child, &result, 0), child);
  EXPECT_EQ(result, 0);
  EXPECT_THAT(temp.List(), IsEmpty());
}

}  // namespace
}  // namespace rally
