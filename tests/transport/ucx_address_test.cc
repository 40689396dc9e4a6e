#include "workers/transport/ucx_address.h"

#include <memory>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "workers/transport/ucx_transport.h"

namespace rally {
namespace {

using testing::HasSubstr;

UcxAddress Example() {
  return {.rank = 3, .ranks = 5, .nonce = "0123456789abcdef", .worker = std::string(200, 'w')};
}

TEST(UcxAddress, ReadsWhatItWrote) {
  absl::StatusOr<UcxAddress> read = ParseUcxAddress(Example().Encode());
  ASSERT_TRUE(read.ok()) << read.status();
  EXPECT_EQ(read->rank, 3);
  EXPECT_EQ(read->ranks, 5);
  EXPECT_EQ(read->nonce, Example().nonce);
  EXPECT_EQ(read->worker, Example().worker);
}

TEST(UcxAddress, RefusesEveryFlippedBitAndEveryOtherLength) {
  const std::string intact = Example().Encode();
  for (size_t bit = 0; bit < 8 * intact.size(); ++bit) {
    std::string flipped = intact;
    flipped[bit / 8] ^= static_cast<char>(1 << bit % 8);
    EXPECT_EQ(ParseUcxAddress(flipped).status().code(), absl::StatusCode::kInvalidArgument) << bit;
  }
  for (size_t size = 0; size < intact.size(); ++size) {
    EXPECT_FALSE(ParseUcxAddress(intact.substr(0, size)).ok()) << size;
  }
  EXPECT_FALSE(ParseUcxAddress(intact + "x").ok());
}

TEST(UcxAddress, NoncesDiffer) {
  absl::StatusOr<std::string> first = MakeNonce(), second = MakeNonce();
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(first->size(), 16u);
  EXPECT_NE(*first, *second);
}

class UcxConnectTest : public testing::Test {
 protected:
  void SetUp() override {
    for (int32_t rank = 0; rank < 2; ++rank) {
      auto transport = MakeUcxTransport({.rank = rank, .ranks = 2});
      ASSERT_TRUE(transport.ok()) << transport.status();
      addresses_.push_back((*transport)->address());
      transports_.push_back(*std::move(transport));
    }
  }

  void ExpectRefused(const std::vector<std::string>& addresses, const std::string& secret,
                     const std::string& why) {
    const absl::Status status = transports_[0]->Connect(addresses, secret);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(why));
  }

  std::vector<std::unique_ptr<Transport>> transports_;
  std::vector<std::string> addresses_;
};

TEST_F(UcxConnectTest, RefusesAddressesThatAreNone) {
  ExpectRefused({addresses_[0], ""}, "", "rank 1 has no address");
  ExpectRefused({addresses_[0], "nonsense"}, "", "rank 1: transport address: size is 8");
  ExpectRefused({addresses_[0], std::string(500, '\xFF')}, "", "rank 1: transport address: magic");
  std::string damaged = addresses_[1];
  damaged[60] ^= 1;
  ExpectRefused({addresses_[0], damaged}, "", "rank 1: transport address: checksum");
}

TEST_F(UcxConnectTest, RefusesAddressesOfOthers) {
  ExpectRefused({addresses_[1], addresses_[0]}, "", "rank 0 of 2 has the address of rank 1 of 2");
  auto another = MakeUcxTransport({.rank = 0, .ranks = 2});
  ASSERT_TRUE(another.ok());
  ExpectRefused({(*another)->address(), addresses_[1]}, "", "rank 0, this one");
  auto larger = MakeUcxTransport({.rank = 1, .ranks = 3});
  ASSERT_TRUE(larger.ok());
  ExpectRefused({addresses_[0], (*larger)->address()}, "", "the address of rank 1 of 3");
}

TEST_F(UcxConnectTest, RefusesShortSecrets) {
  ExpectRefused(addresses_, std::string(15, 's'), "15 bytes");
  EXPECT_EQ(transports_[0]->Connect(addresses_, std::string(16, 's')), absl::OkStatus());
}

}  // namespace
}  // namespace rally
