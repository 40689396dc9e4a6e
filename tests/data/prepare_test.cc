// Text files in, documents out; every unusable input is named with file and line.
#include "services/data/prepare.h"

#include <filesystem>
#include <string>
#include <vector>

#include <absl/types/span.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "common/dataset.h"
#include "tests/common/temp_directory.h"

namespace rally {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class PrepareTest : public ::testing::Test {
 protected:
  absl::StatusOr<PrepareResult> Prepare(const std::vector<std::string>& inputs) {
    options_.output = temp_.path("set");
    options_.inputs.clear();
    for (const std::string& input : inputs) options_.inputs.push_back(temp_.path(input));
    return PrepareDataset(options_, nullptr);
  }

  // Prepares and gives the documents back as text.
  std::vector<std::string> Documents(const std::vector<std::string>& inputs) {
    std::filesystem::remove_all(temp_.path("set"));
    auto result = Prepare(inputs);
    EXPECT_TRUE(result.ok()) << result.status();
    if (!result.ok()) return {};
    result_ = *result;
    auto dataset = Dataset::Open(options_.output);
    EXPECT_TRUE(dataset.ok() && (*dataset)->Verify().ok());
    EXPECT_EQ((*dataset)->info(), result->info);
    std::vector<std::string> documents;
    for (int64_t d = 0; d < result->info.documents; ++d) {
      std::vector<int32_t> tokens((*dataset)->length(d));
      EXPECT_TRUE((*dataset)->Read(d, 0, absl::MakeSpan(tokens)).ok());
      EXPECT_EQ(tokens.back(), 256);
      documents.emplace_back(tokens.begin(), tokens.end() - 1);
    }
    return documents;
  }

  void ExpectError(const std::vector<std::string>& inputs, absl::StatusCode code,
                   const std::string& message) {
    const absl::Status status = Prepare(inputs).status();
    EXPECT_EQ(status.code(), code) << status;
    EXPECT_THAT(status.message(), HasSubstr(message));
    for (const std::string& name : temp_.List()) {
      EXPECT_FALSE(name.starts_with("set")) << name << " is left behind";
    }
  }

  TempDirectory temp_;
  PrepareOptions options_;
  PrepareResult result_;
};

TEST_F(PrepareTest, AFileIsADocumentByteForByte) {
  std::string bytes = "caf\xc3\xa9\r\n\n";
  bytes.push_back('\0');
  bytes += "\xff\xfe end";
  temp_.Write("b.txt", bytes);
  temp_.Write("a.txt", "second");
  EXPECT_THAT(Documents({"b.txt", "a.txt"}), ElementsAre(bytes, "second"));
  EXPECT_EQ(result_.files, 2);
  EXPECT_EQ(result_.empty_documents, 0);
}

TEST_F(PrepareTest, LongDocumentsKeepEveryByte) {
  std::string text;
  for (int i = 0; text.size() < (3 << 20); ++i) text += std::to_string(i) + (i % 7 ? " " : "\n");
  temp_.Write("long.txt", "  \n" + text);
  EXPECT_THAT(Documents({"long.txt"}), ElementsAre("  \n" + text));
}

TEST_F(PrepareTest, SplitsOnALine) {
  temp_.Write("a.txt", "one\ntwo\n---\nthree --- x\n----\n---\r\n \n---\nfour");
  EXPECT_THAT(Documents({"a.txt"}), ElementsAre(temp_.Read("a.txt")));
  options_.split_on = "---";
  EXPECT_THAT(Documents({"a.txt"}), ElementsAre("one\ntwo\n", "three --- x\n----\n", "four"));
  EXPECT_EQ(result_.empty_documents, 1);
}

TEST_F(PrepareTest, ReadsJsonLines) {
  temp_.Write("a.jsonl",
              "{\"text\": \"one\\n\\u00e9\", \"id\": 1}\r\n\n{\"text\": \"\"}\n"
              "{\"body\": {\"text\": 3}, \"text\": \"two\"}");
  EXPECT_THAT(Documents({"a.jsonl"}), ElementsAre("one\n\xc3\xa9", "two"));
  EXPECT_EQ(result_.empty_documents, 1);
  temp_.Write("b.jsonl", "{\"body\": \"three\"}\n");
  options_.text_field = "body";
  EXPECT_THAT(Documents({"b.jsonl"}), ElementsAre("three"));
}

TEST_F(PrepareTest, ReadsAJsonLineLongerThanABlock) {
  const std::string text(5 << 20, 'x');
  temp_.Write("a.jsonl", "{\"text\": \"" + text + "\"}\n{\"text\": \"y\"}\n");
  EXPECT_THAT(Documents({"a.jsonl"}), ElementsAre(text, "y"));
}

TEST_F(PrepareTest, ReadsFoldersInOrder) {
  temp_.Write("in/b.txt", "b");
  temp_.Write("in/a/z.txt", "z");
  temp_.Write("in/a/deep/y.jsonl", "{\"text\": \"y\"}");
  temp_.Write("in/README.md", "not this");
  temp_.Write("in/.hidden/x.txt", "not this");
  temp_.Write("in/.x.txt", "not this");
  std::filesystem::create_directory_symlink(temp_.path("in"), temp_.path("in/loop"));
  EXPECT_THAT(Documents({"in"}), ElementsAre("y", "z", "b"));
}

TEST_F(PrepareTest, NamesTheLineThatIsWrong) {
  struct Case {
    std::string line, expected;
  };
  for (const Case& c : std::vector<Case>{
           {"{\"text\": \"x\"", "a.jsonl:3: not JSON: "},
           {"{\"text\": \"\xff\"}", "a.jsonl:3: not JSON: "},
           {"{\"text\": \"x\"} {}", "a.jsonl:3: not JSON: "},
           {"[\"text\"]", "a.jsonl:3: expected a JSON object, found array"},
           {"{\"txt\": \"x\"}", "a.jsonl:3: the object has no field \"text\""},
           {"{\"text\": 7}", "a.jsonl:3: field \"text\" should be a string, is number"}}) {
    temp_.Write("a.jsonl", "{\"text\": \"fine\"}\n\n" + c.line + "\n{\"text\": \"fine\"}\n");
    ExpectError({"a.jsonl"}, absl::StatusCode::kInvalidArgument, c.expected);
  }
}

TEST_F(PrepareTest, RefusesWhatHoldsNoDocument) {
  temp_.Write("empty.txt", "");
  temp_.Write("blank.jsonl", "\n{\"text\": \" \\n\"}\n");
  ExpectError({"empty.txt", "blank.jsonl"}, absl::StatusCode::kInvalidArgument,
              "no document with text in 2 files");
  temp_.Write("folder/notes.md", "x");
  ExpectError({"folder"}, absl::StatusCode::kInvalidArgument, "no .txt and no .jsonl file");
  ExpectError({}, absl::StatusCode::kInvalidArgument, "no input");
}

TEST_F(PrepareTest, RefusesBadPaths) {
  ExpectError({"none.txt"}, absl::StatusCode::kNotFound, "none.txt");
  temp_.Write("a.csv", "x");
  ExpectError({"a.csv"}, absl::StatusCode::kInvalidArgument, "a.csv: expected a .txt file");
  temp_.Write("a.txt", "x");
  options_.sentencepiece_model = temp_.path("no.model");
  ExpectError({"a.txt"}, absl::StatusCode::kNotFound, "no.model");
}

TEST_F(PrepareTest, RefusesToReplace) {
  temp_.Write("a.txt", "x");
  temp_.Write("set/keep", "me");
  const absl::Status status = Prepare({"a.txt"}).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(temp_.Read("set/keep"), "me");
}

TEST_F(PrepareTest, ReportsProgressAndCancels) {
  temp_.Write("a.txt", std::string(5 << 20, 'x'));
  options_.inputs = {temp_.path("a.txt")};
  options_.output = temp_.path("set");
  std::vector<PrepareProgress> seen;
  ASSERT_TRUE(PrepareDataset(options_, [&](const PrepareProgress& progress) {
                seen.push_back(progress);
                return true;
              }).ok());
  ASSERT_GE(seen.size(), 5u);
  EXPECT_EQ(seen.back().bytes_done, 5 << 20);
  EXPECT_EQ(seen.back().bytes_total, 5 << 20);
  EXPECT_EQ(seen.back().file, temp_.path("a.txt"));

  options_.output = temp_.path("set2");
  const auto cancelled = PrepareDataset(
      options_, [](const PrepareProgress& progress) { return progress.bytes_done < 3 << 20; });
  EXPECT_EQ(cancelled.status().code(), absl::StatusCode::kCancelled);
  EXPECT_THAT(temp_.List(), ::testing::UnorderedElementsAre("a.txt", "set"));
}

}  // namespace
}  // namespace rally
