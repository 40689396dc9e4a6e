// Where jobs may read and write: paths are resolved before they are compared.
#include "services/coordinator/data_roots.h"

#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "rally/v1/spec.pb.h"

namespace rally {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class DataRootsTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "rally-roots-XXXXXX";
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    directory_ = fs::canonical(pattern);
    for (const char* name : {"root/books", "root/deep/er", "rooted", "outside/books"}) {
      fs::create_directories(In(name));
    }
    std::ofstream(In("outside/secret")) << "secret";
    fs::create_symlink(In("outside/books"), In("root/absolute-link"));
    fs::create_symlink("../outside", In("root/relative-link"));
    fs::create_symlink(In("outside/not-there-yet"), In("root/dangling-link"));
    fs::create_symlink("absolute-link", In("root/link-to-link"));
    fs::create_symlink("loop", In("root/loop"));
    fs::create_symlink("books", In("root/good-link"));
    fs::create_symlink(In("root"), In("other-name"));
    fs::create_directory(In("root/trap"));
    std::ofstream(In("root/trap/dataset.json")) << "{}";
    fs::create_symlink(In("outside/secret"), In("root/trap/tokens.bin"));
  }
  void TearDown() override { fs::remove_all(directory_); }

  std::string In(const std::string& name) const { return directory_ + "/" + name; }

  absl::Status Confine(const std::vector<std::string>& roots, JobSpec* spec) {
    const absl::StatusOr<DataRoots> made = DataRoots::Create(roots);
    return made.ok() ? made->Confine(spec) : made.status();
  }

  std::string directory_;
};

// It would be stored with the job, and nobody could read the job any more.
TEST_F(DataRootsTest, APathThatALinkLeadsToIsTextAsWell) {
  fs::create_directory(In("root/\xE9t\xE9"));
  fs::create_symlink("\xE9t\xE9", In("root/newest"));
  JobSpec spec;
  spec.data.path = In("root/newest");
  EXPECT_THAT(std::string(Confine({In("root")}, &spec).message()), HasSubstr("is not UTF-8"));
  EXPECT_EQ(spec.data.path, In("root/newest"));
}

TEST_F(DataRootsTest, ResolvesLinksAndDots) {
  const struct {
    std::string path;
    std::string resolved;
  } cases[] = {
      {"/", "/"},
      {"/..", "/"},
      {"//root//", "/root"},
      {In("root/./books//"), In("root/books")},
      {In("root/deep/er/../../books"), In("root/books")},
      {In("root/absolute-link"), In("outside/books")},
      {In("root/absolute-link/../secret"), In("outside/secret")},
      {In("root/relative-link/books/new"), In("outside/books/new")},
      {In("root/link-to-link"), In("outside/books")},
      {In("root/dangling-link/x"), In("outside/not-there-yet/x")},
      {In("root/new/../../outside"), In("outside")},
  };
  for (const auto& test : cases) {
    const absl::StatusOr<std::string> resolved = ResolvePath(test.path);
    ASSERT_TRUE(resolved.ok()) << test.path << ": " << resolved.status();
    EXPECT_EQ(*resolved, test.resolved) << test.path;
  }
  EXPECT_FALSE(ResolvePath("root/books").ok());
  EXPECT_FALSE(ResolvePath("").ok());
  EXPECT_FALSE(ResolvePath(In("root/loop")).ok());
  EXPECT_FALSE(ResolvePath("/" + std::string(5000, 'a')).ok());
  EXPECT_FALSE(ResolvePath(In("outside/secret/below")).ok());
}

TEST_F(DataRootsTest, PathsInsideGoOnResolved) {
  JobSpec spec;
  spec.data.path = In("other-name/good-link");
  spec.checkpoint.directory = In("rooted/new/deeper/../checkpoints");
  ASSERT_TRUE(Confine({In("root"), In("rooted")}, &spec).ok());
  EXPECT_EQ(spec.data.path, In("root/books"));
  EXPECT_EQ(spec.checkpoint.directory, In("rooted/new/checkpoints"));
  spec.data.path = In("root");
  EXPECT_TRUE(Confine({In("other-name")}, &spec).ok() == false);  // checkpoint.directory is not.
  spec.checkpoint.directory = "";
  EXPECT_TRUE(Confine({In("other-name")}, &spec).ok());
  EXPECT_TRUE(Confine({"/"}, &spec).ok());
}

TEST_F(DataRootsTest, WhatLeadsOutsideIsRefused) {
  for (const std::string& path :
       {In("outside/books"), In("rooted"), In("root/../outside/books"), In("root/absolute-link"),
        In("root/relative-link/books"), In("root/link-to-link"), In("root/dangling-link"),
        In("root/absolute-link/.."), In("root/new/../../outside"), In("root/loop"), In("root/trap"),
        std::string("root/books"), std::string("../../etc"), std::string("/etc")}) {
    JobSpec spec;
    spec.data.path = path;
    const absl::Status data = Confine({In("root")}, &spec);
    EXPECT_EQ(data.code(), absl::StatusCode::kInvalidArgument) << path;
    EXPECT_THAT(std::string(data.message()), HasSubstr("data.path: " + path)) << path;
    EXPECT_THAT(std::string(data.message()), HasSubstr(In("root")));
    if (path == In("root/trap")) continue;  // A directory for checkpoints like any other.
    spec.data.path = In("root/books");
    spec.checkpoint.directory = path;
    EXPECT_THAT(std::string(Confine({In("root")}, &spec).message()),
                HasSubstr("checkpoint.directory: " + path));
  }
}

TEST_F(DataRootsTest, WithoutRootsPathsAreFree) {
  JobSpec spec;
  spec.data.path = "anything/../at-all";
  EXPECT_TRUE(Confine({}, &spec).ok());
  EXPECT_EQ(spec.data.path, "anything/../at-all");
}

TEST_F(DataRootsTest, ARootMustBeADirectory) {
  for (const std::string& root : {In("outside/secret"), In("nowhere"), std::string("root")}) {
    const absl::Status status = DataRoots::Create({In("root"), root}).status();
    EXPECT_THAT(std::string(status.message()), HasSubstr("--data-root")) << root;
  }
}

// A new text field is a path that must be confined, or it is named here.
void CheckTexts(const google::protobuf::Descriptor& message, const std::string& prefix) {
  const std::vector<std::string> confined = {"data.path", "checkpoint.directory"};
  const std::vector<std::string> no_paths = {"paced.profile"};
  for (int i = 0; i < message.field_count(); ++i) {
    const google::protobuf::FieldDescriptor& field = *message.field(i);
    const std::string name = prefix + field.name();
    if (field.message_type() != nullptr) CheckTexts(*field.message_type(), name + ".");
    if (field.cpp_type() != google::protobuf::FieldDescriptor::CPPTYPE_STRING) continue;
    EXPECT_TRUE(testing::Value(confined, testing::Contains(name)) ||
                testing::Value(no_paths, testing::Contains(name)))
        << name;
  }
}

TEST_F(DataRootsTest, EveryPathOfAJobIsKnown) { CheckTexts(*v1::JobSpec::descriptor(), ""); }

}  // namespace
}  // namespace rally
