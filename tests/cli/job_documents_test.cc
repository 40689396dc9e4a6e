// What the project says about job files is true: the page documents every field, the examples are
// valid.
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <gtest/gtest.h>

#include "common/atomic_file.h"
#include "rally/v1/spec.pb.h"
#include "services/job_file/job_file.h"
#include "services/planning/planner_case.h"

namespace rally {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;

std::string SourceDirectory() {
  const char* directory = std::getenv("RALLY_SOURCE_DIR");
  return directory == nullptr ? "." : directory;
}

void AddFields(const Descriptor& descriptor, const std::string& prefix,
               std::vector<std::string>* names) {
  for (int i = 0; i < descriptor.field_count(); ++i) {
    const FieldDescriptor* field = descriptor.field(i);
    if (field->message_type() != nullptr) {
      AddFields(*field->message_type(), prefix + field->name() + ".", names);
    } else {
      names->push_back(prefix + field->name());
    }
  }
}

TEST(JobDocumentsTest, ThePageDocumentsEveryField) {
  const absl::StatusOr<std::string> page = ReadFile(SourceDirectory() + "/docs/job-file.md");
  ASSERT_TRUE(page.ok()) << page.status();
  std::vector<std::string> names = {"id"};
  AddFields(*v1::JobSpec::descriptor(), "", &names);
  ASSERT_GT(names.size(), 40u);
  for (const std::string& name : names) {
    EXPECT_THAT(*page, testing::HasSubstr("\n| `" + name + "` |")) << name;
  }
}

TEST(JobDocumentsTest, EveryExampleIsAValidJobFile) {
  int examples = 0;
  for (const auto& entry : std::filesystem::directory_iterator(SourceDirectory() + "/examples")) {
    if (entry.path().extension() != ".yaml") continue;
    ++examples;
    const absl::StatusOr<JobFile> file = ReadJobFile(entry.path().string());
    EXPECT_TRUE(file.ok()) << file.status();
  }
  EXPECT_GE(examples, 4);
}

TEST(JobDocumentsTest, TheExampleOfACaseFileIsValid) {
  const auto cases = ReadPlannerCases(SourceDirectory() + "/examples/cases.json");
  EXPECT_TRUE(cases.ok()) << cases.status();
}

}  // namespace
}  // namespace rally
