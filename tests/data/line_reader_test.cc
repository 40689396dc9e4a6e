#include "services/data/line_reader.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/temp_directory.h"

namespace rally {
namespace {

constexpr size_t kBlock = LineReader::kBlockBytes;

// The file's lines put together from the pieces; checks the pieces' flags on the way.
std::vector<std::string> Lines(const std::string& contents) {
  TempDirectory temp;
  int64_t bytes_read = 0;
  LineReader reader([&](int64_t bytes) {
    bytes_read += bytes;
    return absl::OkStatus();
  });
  EXPECT_TRUE(reader.Open(temp.Write("file", contents)).ok());
  std::vector<std::string> lines;
  bool starts_line = true;
  while (true) {
    auto piece = reader.Next();
    EXPECT_TRUE(piece.ok());
    if (piece->text.empty()) break;
    EXPECT_EQ(piece->starts_line, starts_line);
    if (piece->starts_line) lines.emplace_back();
    EXPECT_EQ(piece->line, static_cast<int64_t>(lines.size()));
    lines.back().append(piece->text.data(), piece->text.size());
    starts_line = piece->ends_line;
  }
  EXPECT_EQ(bytes_read, static_cast<int64_t>(contents.size()));
  return lines;
}

TEST(LineReaderTest, KeepsLineBreaks) {
  EXPECT_EQ(Lines(""), std::vector<std::string>{});
  EXPECT_EQ(Lines("\n"), std::vector<std::string>{"\n"});
  EXPECT_EQ(Lines("a"), std::vector<std::string>{"a"});
  EXPECT_EQ(Lines("a\r\n\nb\n"), (std::vector<std::string>{"a\r\n", "\n", "b\n"}));
}

TEST(LineReaderTest, LinesAroundTheSizeOfABlock) {
  for (size_t size = kBlock - 2; size <= kBlock + 2; ++size) {
    const std::string line(size, 'x');
    EXPECT_EQ(Lines(line), std::vector<std::string>{line});
    EXPECT_EQ(Lines(line + "\n"), std::vector<std::string>{line + "\n"});
    EXPECT_EQ(Lines("a\n" + line + "\nb"), (std::vector<std::string>{"a\n", line + "\n", "b"}));
  }
  const std::string longer(3 * kBlock + 5, 'y');
  EXPECT_EQ(Lines(longer + "\n" + longer), (std::vector<std::string>{longer + "\n", longer}));
}

TEST(LineReaderTest, ContentIsWithoutTheLineBreak) {
  EXPECT_EQ((LineReader::Piece{.text = "a\r\n"}).content(), "a");
  EXPECT_EQ((LineReader::Piece{.text = "a\n"}).content(), "a");
  EXPECT_EQ((LineReader::Piece{.text = "a\r"}).content(), "a\r");
  EXPECT_EQ((LineReader::Piece{.text = "\n"}).content(), "");
}

TEST(LineReaderTest, StopsWhenTheCallerSaysSo) {
  TempDirectory temp;
  LineReader reader([](int64_t) { return absl::CancelledError("enough"); });
  ASSERT_TRUE(reader.Open(temp.Write("file", "a\n")).ok());
  EXPECT_EQ(reader.Next().status().code(), absl::StatusCode::kCancelled);
}

TEST(LineReaderTest, NamesAFileItCannotOpen) {
  LineReader reader([](int64_t) { return absl::OkStatus(); });
  const absl::Status status = reader.Open("/no/such/file");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_THAT(status.message(), ::testing::HasSubstr("/no/such/file"));
}

}  // namespace
}  // namespace rally
