// The reader: what comes back, and that every kind of damage is named.
#include "common/dataset.h"

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <absl/types/span.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <xxhash.h>

#include "common/dataset_format.h"
#include "common/dataset_writer.h"
#include "tests/common/temp_directory.h"

namespace rally {
namespace {

using ::testing::HasSubstr;

constexpr DatasetInfo kBytes{.vocabulary = 257, .tokenizer = "bytes", .end_of_document = 256};

class DatasetTest : public ::testing::Test {
 protected:
  void SetUp() override { Make({{1, 2, 3}, {}, {255}, {0, 0, 7, 9}}); }

  void Make(const std::vector<std::vector<int32_t>>& documents) {
    auto writer = DatasetWriter::Create(directory(), kBytes);
    ASSERT_TRUE(writer.ok()) << writer.status();
    for (const auto& document : documents) ASSERT_TRUE((*writer)->Add(document).ok());
    ASSERT_TRUE((*writer)->Finish().ok());
  }

  std::string directory() const { return temp_.path("set"); }

  void Edit(const std::string& file, const std::function<void(std::string&)>& edit) {
    std::string contents = temp_.Read("set/" + file);
    edit(contents);
    temp_.Write("set/" + file, contents);
  }

  // Opening fails as damage whose message holds `expected`.
  void ExpectDamage(const std::string& expected) {
    auto dataset = Dataset::Open(directory());
    ASSERT_FALSE(dataset.ok());
    EXPECT_EQ(dataset.status().code(), absl::StatusCode::kDataLoss) << dataset.status();
    EXPECT_THAT(dataset.status().message(), HasSubstr(expected));
  }

  void ReplaceInManifest(const std::string& from, const std::string& to) {
    Edit("dataset.json", [&](std::string& text) {
      const size_t at = text.find(from);
      ASSERT_NE(at, std::string::npos) << text;
      text.replace(at, from.size(), to);
    });
  }

  // Makes the index checksum of the manifest fit what tokens.bin holds.
  void FixIndexChecksum() {
    const std::string tokens = temp_.Read("set/tokens.bin");
    auto manifest = ReadManifest(directory() + "/dataset.json");
    ASSERT_TRUE(manifest.ok());
    manifest->index_xxh3 = XXH3_64bits(tokens.data(), sizeof(DatasetHeader) + 5 * 8);
    temp_.Write("set/dataset.json", FormatManifest(*manifest));
  }

  TempDirectory temp_;
};

TEST_F(DatasetTest, GivesBackWhatWasWritten) {
  auto dataset = Dataset::Open(directory());
  ASSERT_TRUE(dataset.ok()) << dataset.status();
  EXPECT_EQ((*dataset)->info(), (DatasetInfo{.documents = 4,
                                             .tokens = 12,
                                             .token_bytes = 2,
                                             .vocabulary = 257,
                                             .tokenizer = "bytes",
                                             .end_of_document = 256}));
  EXPECT_EQ((*dataset)->length(0), 4);
  EXPECT_EQ((*dataset)->length(1), 1);
  EXPECT_EQ((*dataset)->length(3), 5);
  std::vector<int32_t> tokens(3);
  ASSERT_TRUE((*dataset)->Read(3, 2, absl::MakeSpan(tokens)).ok());
  EXPECT_EQ(tokens, (std::vector<int32_t>{7, 9, 256}));
  ASSERT_TRUE((*dataset)->Read(1, 1, {}).ok());
  EXPECT_TRUE((*dataset)->Verify().ok());
}

TEST_F(DatasetTest, RefusesTokensThatDoNotExist) {
  auto dataset = Dataset::Open(directory());
  ASSERT_TRUE(dataset.ok());
  std::vector<int32_t> tokens(2);
  struct Case {
    int64_t index, begin;
  };
  for (const Case& c : {Case{-1, 0}, Case{4, 0}, Case{0, -1}, Case{0, 3}, Case{0, 5}, Case{1, 0},
                        Case{0, INT64_MAX}}) {
    EXPECT_EQ((*dataset)->Read(c.index, c.begin, absl::MakeSpan(tokens)).code(),
              absl::StatusCode::kOutOfRange)
        << c.index << " " << c.begin;
  }
}

TEST_F(DatasetTest, NamesWhatIsMissing) {
  std::filesystem::remove(directory() + "/tokens.bin");
  ExpectDamage("set/tokens.bin: expected a file of 96 bytes, found none");
  std::filesystem::remove(directory() + "/dataset.json");
  auto dataset = Dataset::Open(directory());
  EXPECT_EQ(dataset.status().code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(dataset.status().message(), HasSubstr("set/dataset.json"));
}

TEST_F(DatasetTest, FindsEveryTruncationOfTheTokensFile) {
  const std::string whole = temp_.Read("set/tokens.bin");
  ASSERT_EQ(whole.size(), 32u + 5 * 8 + 12 * 2);
  for (size_t size = 0; size < whole.size(); ++size) {
    temp_.Write("set/tokens.bin", whole.substr(0, size));
    ExpectDamage("tokens.bin: expected 96 bytes, found " + std::to_string(size));
  }
  temp_.Write("set/tokens.bin", whole + "x");
  ExpectDamage("tokens.bin: expected 96 bytes, found 97");
}

// What a power cut leaves: blocks that were never written are missing, or zero.
TEST_F(DatasetTest, FindsWhereverItIsTorn) {
  std::filesystem::remove_all(directory());
  Make(std::vector<std::vector<int32_t>>(3000, {1, 2, 3, 4, 5, 6, 7}));
  const std::string whole = temp_.Read("set/tokens.bin");
  ASSERT_EQ(whole.size(), 32u + 3001 * 8 + 3000 * 8 * 2);
  constexpr size_t kBlock = 4096;
  for (size_t kept = 0; kept < whole.size(); kept += kBlock) {
    temp_.Write("set/tokens.bin", whole.substr(0, kept));
    ExpectDamage("tokens.bin: expected " + std::to_string(whole.size()) + " bytes");
    temp_.Write("set/tokens.bin", whole.substr(0, kept) + std::string(whole.size() - kept, '\0'));
    if (kept < 32 + 3001 * 8) {
      ExpectDamage("tokens.bin: expected header and index with XXH3 checksum");
      continue;
    }
    auto dataset = Dataset::Open(directory());
    ASSERT_TRUE(dataset.ok()) << kept;
    EXPECT_THAT((*dataset)->Verify().message(), HasSubstr("expected tokens with XXH3 checksum"));
  }
}

TEST_F(DatasetTest, VerifiesNoLongerThanItMay) {
  auto dataset = Dataset::Open(directory());
  ASSERT_TRUE(dataset.ok());
  EXPECT_EQ((*dataset)->Verify([] { return false; }).code(), absl::StatusCode::kCancelled);
  int asked = 0;  // The checksum is taken, the documents are not looked at.
  EXPECT_EQ((*dataset)->Verify([&] { return ++asked < 2; }).code(), absl::StatusCode::kCancelled);
}

TEST_F(DatasetTest, FindsEveryFlippedBit) {
  const std::string whole = temp_.Read("set/tokens.bin");
  for (size_t bit = 0; bit < whole.size() * 8; ++bit) {
    std::string damaged = whole;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << bit % 8));
    temp_.Write("set/tokens.bin", damaged);
    if (bit / 8 < 32 + 5 * 8) {
      ExpectDamage("tokens.bin: expected header and index with XXH3 checksum");
      continue;
    }
    auto dataset = Dataset::Open(directory());
    ASSERT_TRUE(dataset.ok()) << "the tokens' checksum is Verify's business";
    const absl::Status status = (*dataset)->Verify();
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << bit;
    EXPECT_THAT(status.message(), HasSubstr("tokens.bin: expected tokens with XXH3 checksum"));
  }
}

TEST_F(DatasetTest, FindsAnyTruncationOfTheManifest) {
  const std::string whole = temp_.Read("set/dataset.json");
  for (size_t size = 0; size + 2 < whole.size(); ++size) {
    temp_.Write("set/dataset.json", whole.substr(0, size));
    ExpectDamage("dataset.json: not a JSON object");
  }
}

TEST_F(DatasetTest, NamesTheManifestsWrongField) {
  const std::string whole = temp_.Read("set/dataset.json");
  struct Case {
    std::string from, to, expected;
  };
  const std::vector<Case> cases = {
      {"rally-dataset", "parquet", "field \"format\" should be \"rally-dataset\", is \"parquet\""},
      {"\"version\": 1", "\"version\": 2", "field \"version\" should be between 1 and 1, is 2"},
      {"\"documents\": 4", "\"documents\": 0", "field \"documents\""},
      {"\"documents\": 4", "\"documents\": \"4\"", "should be an integer, is \"4\""},
      {"\"documents\": 4", "\"papers\": 4", "field \"documents\" should be an integer, is missing"},
      {"\"tokens\": 12", "\"tokens\": 3", "field \"tokens\""},
      {"\"tokens\": 12", "\"tokens\": 18446744073709551615", "field \"tokens\""},
      {"\"tokens\": 12", "\"tokens\": 1.2e3", "field \"tokens\" should be an integer"},
      {"\"token_bytes\": 2", "\"token_bytes\": 3", "field \"token_bytes\""},
      {"\"vocabulary\": 257", "\"vocabulary\": 65537", "field \"token_bytes\""},
      {"\"end_of_document\": 256", "\"end_of_document\": 257", "field \"end_of_document\""},
      {"\"tokenizer\": \"bytes\"", "\"tokenizer\": 7", "field \"tokenizer\" should be a string"},
      {"\"index_xxh3\": \"", "\"index_xxh3\": \"z", "field \"index_xxh3\" should be 16 hex digits"},
  };
  for (const Case& c : cases) {
    temp_.Write("set/dataset.json", whole);
    ReplaceInManifest(c.from, c.to);
    ExpectDamage("dataset.json: ");
    ExpectDamage(c.expected);
  }
}

TEST_F(DatasetTest, SizesInTheManifestMustFitTheFile) {
  ReplaceInManifest("\"tokens\": 12", "\"tokens\": 281474976710656");
  ExpectDamage("tokens.bin: expected 562949953421384 bytes, found 96");
}

TEST_F(DatasetTest, ChecksWhatAGoodChecksumCannotPromise) {
  Edit("tokens.bin", [](std::string& bytes) { bytes[8] = 2; });  // Version.
  FixIndexChecksum();
  ExpectDamage("expected a header of version 1");

  Edit("tokens.bin", [](std::string& bytes) {
    bytes[8] = 1;
    std::swap(bytes[32 + 8], bytes[32 + 16]);  // Offsets of documents 1 and 2.
  });
  FixIndexChecksum();
  ExpectDamage("expected document offsets that rise from 0 to 12");
}

TEST_F(DatasetTest, RandomDocumentsComeBackInBothWidths) {
  std::mt19937 random(1);
  for (int64_t vocabulary : {int64_t{257}, int64_t{65536}, int64_t{65537}, int64_t{1} << 31}) {
    std::filesystem::remove_all(directory());
    const DatasetInfo info{.vocabulary = vocabulary, .tokenizer = "x", .end_of_document = 5};
    auto writer = DatasetWriter::Create(directory(), info);
    ASSERT_TRUE(writer.ok());
    std::vector<std::vector<int32_t>> documents(20);
    for (auto& document : documents) {
      document.resize(random() % 20000);
      for (int32_t& token : document) token = static_cast<int32_t>(random() % vocabulary);
      ASSERT_TRUE((*writer)->Add(document).ok());
      document.push_back(5);
    }
    ASSERT_TRUE((*writer)->Finish().ok());
    auto dataset = Dataset::Open(directory());
    ASSERT_TRUE(dataset.ok()) << dataset.status();
    EXPECT_EQ((*dataset)->info().token_bytes, vocabulary <= 65536 ? 2 : 4);
    EXPECT_TRUE((*dataset)->Verify().ok());
    for (size_t d = 0; d < documents.size(); ++d) {
      std::vector<int32_t> tokens((*dataset)->length(static_cast<int64_t>(d)));
      ASSERT_TRUE((*dataset)->Read(static_cast<int64_t>(d), 0, absl::MakeSpan(tokens)).ok());
      EXPECT_EQ(tokens, documents[d]) << d;
    }
  }
}

}  // namespace
}  // namespace rally
