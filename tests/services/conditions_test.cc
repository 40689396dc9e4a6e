#include "services/coordinator/conditions.h"

#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

// Otherwise neither a client nor the coordinator itself could read the job again.
TEST(Conditions, AMessageOfAnyBytesCanBeReadBack) {
  v1::JobStatus status;
  const std::string message = "field \"\xE2\x82\" " + std::string(10000, 'x');
  const auto set = [&] {
    return SetCondition(&status, "Finished", true, "DataLoss", message, absl::UnixEpoch());
  };
  EXPECT_TRUE(set());
  EXPECT_FALSE(set());
  v1::JobStatus read;
  ASSERT_TRUE(read.ParseFromString(status.SerializeAsString()));
  EXPECT_THAT(read.conditions(0).message(), testing::StartsWith("field \"??\" xx"));
  EXPECT_LT(read.conditions(0).message().size(), 10000u);
}

}  // namespace
}  // namespace rally
