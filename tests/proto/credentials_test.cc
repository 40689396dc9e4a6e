// What is said of files that cannot be used, before anything is connected.
#include "proto/credentials.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/common/temp_directory.h"

namespace rally {
namespace {

using testing::HasSubstr;
using testing::Not;

class CredentialsTest : public testing::Test {
 protected:
  std::string Write(const std::string& name, const std::string& text) {
    return directory_.Write(name, text);
  }

  TempDirectory directory_;
};

TEST_F(CredentialsTest, ATokenIsWhatTheFileHoldsWithoutBlanksAround) {
  EXPECT_EQ(*ReadTokenFile(Write("a", "0123456789abcdef")), "0123456789abcdef");
  EXPECT_EQ(*ReadTokenFile(Write("b", "\n 0123456789abcdef+/=\r\n")), "0123456789abcdef+/=");
  const std::string secrets[] = {"",
                                 "too-short",
                                 "two-words-of-a secret-0123456789",
                                 "two-lines-0123456789\nof-a-secret-0123456789",
                                 "0123456789abcdef\x01",
                                 std::string(5000, 'x')};
  for (const std::string& secret : secrets) {
    const absl::Status status = ReadTokenFile(Write("c", secret)).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << secret;
    EXPECT_THAT(std::string(status.message()), HasSubstr("--token-file: "));
    if (secret.empty()) continue;
    EXPECT_THAT(std::string(status.message()), Not(HasSubstr(secret)));
  }
  EXPECT_EQ(ReadTokenFile(directory_.path("nothing")).status().code(), absl::StatusCode::kNotFound);
}

TEST_F(CredentialsTest, FlagsThatNeedAnotherOneSaySo) {
  const std::string token = Write("token", "0123456789abcdef");
  const std::string text = Write("text", "no certificate");
  const struct {
    ClientSecurity security;
    const char* message;
  } cases[] = {
      {{{}, token}, "--tls-ca: is missing"},
      {{{"", text, text}, ""}, "--tls-ca: is missing"},
      {{{text, "", ""}, ""}, "holds no PEM certificate"},
      {{{text, text, ""}, ""}, "--tls-cert and --tls-key: go together"},
      {{{directory_.path("nothing"), "", ""}, ""}, "--tls-ca: "},
  };
  for (const auto& test : cases) {
    const absl::Status status = MakeChannelCredentials(test.security).status();
    ASSERT_FALSE(status.ok()) << test.message;
    EXPECT_THAT(std::string(status.message()), HasSubstr(test.message));
  }
  EXPECT_TRUE(MakeChannelCredentials({}).ok());
  EXPECT_TRUE(MakeServerCredentials({}).ok());
  EXPECT_FALSE(MakeServerCredentials({text, "", ""}).ok());
}

}  // namespace
}  // namespace rally
