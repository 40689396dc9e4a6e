// The token file: what it holds, what is wrong with it, and who a token is of.
#include "services/coordinator/token_table.h"

#include <string>

#include <absl/strings/str_cat.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using testing::HasSubstr;
using testing::Not;

// Digests of "open sesame", "abracadabra" and "", as sha256sum prints them.
constexpr char kSesame[] = "41ef4bb0b23661e66301aac36066912dac037827b4ae63a7b1165a5aa93ed4eb";
constexpr char kAbracadabra[] = "045babdcd2118960e8c8b8e0ecf65b734686e1b18f58710c9646779f49e942ae";
constexpr char kNothing[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

TEST(TokenTableTest, FindsWhoATokenIsOf) {
  const absl::StatusOr<TokenTable> table = TokenTable::Parse(
      absl::StrCat("# who may call\n\nalice\tsubmitter  sha256:", kSesame, "\r\n  bob@home viewer ",
                   "sha256:", kAbracadabra, "\nalice admin sha256:", kNothing));
  ASSERT_TRUE(table.ok()) << table.status();
  ASSERT_NE(table->Find("open sesame"), nullptr);
  EXPECT_EQ(table->Find("open sesame")->name, "alice");
  EXPECT_EQ(table->Find("open sesame")->role, Role::kSubmitter);
  ASSERT_NE(table->Find("abracadabra"), nullptr);
  EXPECT_EQ(table->Find("abracadabra")->role, Role::kViewer);
  for (const char* wrong : {"open sesam", "open sesame ", "Open sesame", kSesame, "sha256:"}) {
    EXPECT_EQ(table->Find(wrong), nullptr) << wrong;
  }
}

TEST(TokenTableTest, AWrongLineIsNamedAndNotShown) {
  const std::string secret = "s3cr3t-of-somebody-who-forgot-the-digest";
  const struct {
    std::string line;
    const char* message;
  } cases[] = {
      {"alice viewer", "line 2: is not NAME ROLE sha256:DIGEST"},
      {"alice viewer " + secret + " more", "line 2: is not NAME ROLE"},
      {"alice viewer " + secret, "line 2: digest: is not sha256: and 64 hexadecimal digits"},
      {absl::StrCat("alice viewer sha256:", secret), "digest"},
      {absl::StrCat("alice viewer ", kSesame), "digest"},
      {absl::StrCat("alice viewer sha256:", kSesame, "00"), "digest"},
      {absl::StrCat("alice ", secret, " sha256:", kSesame),
       "role: is not one of viewer, submitter, admin, member"},
      {absl::StrCat("al/ice viewer sha256:", kSesame), "name: is not 1 to 64"},
  };
  for (const auto& test : cases) {
    const absl::StatusOr<TokenTable> table = TokenTable::Parse("# tokens\n" + test.line + "\n");
    ASSERT_EQ(table.status().code(), absl::StatusCode::kInvalidArgument) << test.line;
    EXPECT_THAT(std::string(table.status().message()), HasSubstr(test.message));
    EXPECT_THAT(std::string(table.status().message()), Not(HasSubstr(secret)));
  }
}

TEST(TokenTableTest, AFileWithoutTokensIsAnError) {
  for (const char* text : {"", "\n\n", "# nobody\n"}) EXPECT_FALSE(TokenTable::Parse(text).ok());
}

}  // namespace
}  // namespace rally
