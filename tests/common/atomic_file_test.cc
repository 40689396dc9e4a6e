#include "common/atomic_file.h"

#include <cerrno>
#include <filesystem>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/temp_directory.h"

namespace rally {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(AtomicFileTest, WritesAndReplaces) {
  TempDirectory temp;
  ASSERT_TRUE(WriteFileAtomically(temp.path("file"), "one").ok());
  EXPECT_EQ(temp.Read("file"), "one");
  const std::string large(3 << 20, 'x');
  ASSERT_TRUE(WriteFileAtomically(temp.path("file"), large).ok());
  auto contents = ReadFile(temp.path("file"));
  ASSERT_TRUE(contents.ok());
  EXPECT_EQ(*contents, large);
  EXPECT_THAT(temp.List(), ElementsAre("file"));
}

TEST(AtomicFileTest, FailureLeavesNothingBehind) {
  TempDirectory temp;
  std::filesystem::create_directories(temp.path("folder/full"));
  const absl::Status status = WriteFileAtomically(temp.path("folder"), "x");
  EXPECT_FALSE(status.ok());
  EXPECT_THAT(status.message(), HasSubstr(temp.path("folder")));
  EXPECT_THAT(temp.List(), ElementsAre("folder"));
  EXPECT_EQ(WriteFileAtomically(temp.path("no/file"), "x").code(), absl::StatusCode::kNotFound);
}

TEST(AtomicFileTest, NamesPathAndReason) {
  TempDirectory temp;
  const absl::Status missing = ReadFile(temp.path("none")).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(missing.message(), "cannot open " + temp.path("none") + ": No such file or directory");
  EXPECT_EQ(RenameDurably(temp.path("none"), temp.path("b")).code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(temp.List(), IsEmpty());
}

TEST(AtomicFileTest, TranslatesErrno) {
  EXPECT_EQ(ErrnoStatus(EACCES, "cannot open", "f").code(), absl::StatusCode::kPermissionDenied);
  EXPECT_EQ(ErrnoStatus(EEXIST, "cannot open", "f").code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(ErrnoStatus(ENOSPC, "cannot open", "f").code(), absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(ErrnoStatus(EIO, "cannot open", "f").code(), absl::StatusCode::kUnavailable);
}

}  // namespace
}  // namespace rally
