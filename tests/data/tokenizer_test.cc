// Both tokenizers. The SentencePiece models are trained here, by the library's own program.
#include "services/data/tokenizer.h"

#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <string>
#include <vector>

#include <absl/time/clock.h>
#include <absl/time/time.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "services/data/child_process.h"
#include "tests/common/temp_directory.h"

namespace rally {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string Program() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() /
          "../bin/rally-sentencepiece")
      .string();
}

// Trains a model; returns its path.
std::string TrainModel(const TempDirectory& temp, const std::vector<std::string>& options) {
  std::string text;
  for (int i = 0; i < 200; ++i) {
    text += "the cat number " + std::to_string(i * 7919) + " sat on the mat and saw the dog\n";
  }
  const std::string input = temp.Write("corpus.txt", text);
  std::vector<std::string> command = {"spm_train", "--input=" + input,
                                      "--model_prefix=" + temp.path("model"), "--minloglevel=2"};
  command.insert(command.end(), options.begin(), options.end());
  std::vector<char*> arguments;
  for (std::string& argument : command) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  pid_t pid = 0;
  int status = -1;
  EXPECT_EQ(posix_spawnp(&pid, "spm_train", nullptr, nullptr, arguments.data(), environ), 0);
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  EXPECT_EQ(status, 0) << "spm_train failed";
  return temp.path("model.model");
}

TEST(ByteTokenizerTest, EveryByteIsItsOwnToken) {
  auto tokenizer = MakeByteTokenizer();
  EXPECT_EQ(tokenizer->name(), "bytes");
  EXPECT_EQ(tokenizer->vocabulary(), 257);
  EXPECT_EQ(tokenizer->end_of_document(), 256);
  std::string text;
  for (int byte = 0; byte < 256; ++byte) text.push_back(static_cast<char>(byte));
  std::vector<int32_t> tokens = {1, 2, 3};
  ASSERT_TRUE(tokenizer->Encode(text, &tokens).ok());
  ASSERT_EQ(tokens.size(), 256u);
  for (int32_t byte = 0; byte < 256; ++byte) EXPECT_EQ(tokens[byte], byte);
  ASSERT_TRUE(tokenizer->Encode("", &tokens).ok());
  EXPECT_THAT(tokens, IsEmpty());
}

TEST(SentencePieceTokenizerTest, EncodesByTheModel) {
  TempDirectory temp;
  const std::string model = TrainModel(temp, {"--vocab_size=80"});
  auto tokenizer = LoadSentencePieceTokenizer(model, Program());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->name(), "sentencepiece");
  EXPECT_EQ((*tokenizer)->vocabulary(), 80);
  EXPECT_EQ((*tokenizer)->end_of_document(), 2) << "the trainer's default end-of-sentence id";
  std::vector<int32_t> once, again, twice;
  ASSERT_TRUE((*tokenizer)->Encode("the cat sat", &once).ok());
  EXPECT_THAT(once, ::testing::Each(::testing::AllOf(::testing::Ge(0), ::testing::Lt(80))));
  EXPECT_GT(once.size(), 0u);
  EXPECT_LT(once.size(), 11u) << "pieces are longer than letters";
  ASSERT_TRUE((*tokenizer)->Encode("", &again).ok());
  EXPECT_THAT(again, IsEmpty());
  ASSERT_TRUE((*tokenizer)->Encode("the cat sat the cat sat", &twice).ok());
  std::vector<int32_t> expected = once;
  expected.insert(expected.end(), once.begin(), once.end());
  EXPECT_EQ(twice, expected);
}

TEST(SentencePieceTokenizerTest, TakesATextLargerThanAPipe) {
  TempDirectory temp;
  auto tokenizer = LoadSentencePieceTokenizer(TrainModel(temp, {"--vocab_size=80"}), Program());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  std::string text;
  for (int i = 0; i < 100000; ++i) text += "the cat sat ";
  std::vector<int32_t> word, all;
  ASSERT_TRUE((*tokenizer)->Encode("the cat sat", &word).ok());
  ASSERT_TRUE((*tokenizer)->Encode(text, &all).ok());
  EXPECT_EQ(all.size(), word.size() * 100000);
}

TEST(SentencePieceTokenizerTest, AddsAnEndOfDocumentWhenTheModelHasNone) {
  TempDirectory temp;
  auto tokenizer =
      LoadSentencePieceTokenizer(TrainModel(temp, {"--vocab_size=80", "--eos_id=-1"}), Program());
  ASSERT_TRUE(tokenizer.ok()) << tokenizer.status();
  EXPECT_EQ((*tokenizer)->vocabulary(), 81);
  EXPECT_EQ((*tokenizer)->end_of_document(), 80);
}

TEST(SentencePieceTokenizerTest, NamesAModelItCannotLoad) {
  TempDirectory temp;
  auto missing = LoadSentencePieceTokenizer(temp.path("no.model"), Program()).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(missing.message(), HasSubstr("no.model"));
  auto damaged =
      LoadSentencePieceTokenizer(temp.Write("bad.model", "not a model"), Program()).status();
  EXPECT_EQ(damaged.code(), absl::StatusCode::kInvalidArgument) << damaged;
  EXPECT_THAT(damaged.message(), HasSubstr("bad.model"));
  auto folder = LoadSentencePieceTokenizer(temp.path(""), Program()).status();
  EXPECT_EQ(folder.code(), absl::StatusCode::kInvalidArgument) << folder;
}

TEST(SentencePieceTokenizerTest, NamesAProgramThatIsNotThereOrDies) {
  TempDirectory temp;
  const std::string model = temp.Write("some.model", "x");
  auto missing = LoadSentencePieceTokenizer(model, temp.path("no-program")).status();
  EXPECT_EQ(missing.code(), absl::StatusCode::kNotFound) << missing;
  EXPECT_THAT(missing.message(), HasSubstr("no-program"));
  auto dies = LoadSentencePieceTokenizer(model, "/bin/false").status();
  EXPECT_EQ(dies.code(), absl::StatusCode::kUnavailable) << dies;
  EXPECT_THAT(dies.message(), HasSubstr("/bin/false: has ended"));
}

TEST(ChildProcessTest, GivesUpAtTheDeadline) {
  auto child = ChildProcess::Start({"/bin/cat"});
  ASSERT_TRUE(child.ok());
  char byte = 0;
  EXPECT_EQ((*child)->Read(&byte, 1, absl::Now() + absl::Milliseconds(20)).code(),
            absl::StatusCode::kDeadlineExceeded);
  ASSERT_TRUE((*child)->Write("x", absl::Now() + absl::Seconds(10)).ok());
  ASSERT_TRUE((*child)->Read(&byte, 1, absl::Now() + absl::Seconds(10)).ok());
  EXPECT_EQ(byte, 'x');
}

}  // namespace
}  // namespace rally
