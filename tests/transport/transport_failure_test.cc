// What every transport does when something goes wrong.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include <absl/status/status.h>
#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/transport/transport_fabric.h"
#include "workers/transport/transport.h"

namespace rally {
namespace {

using testing::HasSubstr;

constexpr size_t kLarge = size_t{32} << 20;

class TransportFailureTest : public testing::TestWithParam<Fabric> {
 protected:
  void Make(int32_t ranks) { transports_ = MakeFabric(GetParam(), ranks); }
  Transport& at(int32_t rank) { return *transports_[rank]; }

  std::vector<std::unique_ptr<Transport>> transports_;
};

INSTANTIATE_TEST_SUITE_P(AllFabrics, TransportFailureTest, testing::ValuesIn(kAllFabrics),
                         [](const auto& info) { return FabricName(info.param); });

TEST_P(TransportFailureTest, MissedDeadlineIsStickyAndNamesTheMessage) {
  Make(2);
  std::vector<std::byte> buffer(100);
  Transfer receive = at(1).Receive(0, NumberedTag(0, 77), absl::MakeSpan(buffer));
  absl::Time begin = absl::Now();
  absl::Status status = at(1).Wait({receive}, begin + absl::Milliseconds(50));
  EXPECT_GE(absl::Now() - begin, absl::Milliseconds(49));
  EXPECT_EQ(status.code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_THAT(std::string(status.message()), HasSubstr("round 77"));
  EXPECT_EQ(at(1).status(), status);
  at(1).Abort(absl::AbortedError("too late to be first"));
  EXPECT_EQ(at(1).Wait({receive}, Patience()), status);
  Transfer later = at(1).Send(1, NumberedTag(1, 1), buffer);
  EXPECT_EQ(at(1).Wait({later}, Patience()), status);
  EXPECT_EQ(at(1).Wait({}, Patience()), status);
}

TEST_P(TransportFailureTest, DeadlineInThePastStillTakesWhatIsComplete) {
  Make(1);
  std::vector<std::byte> sent = Pattern(10, 1), received(10);
  Transfer transfers[] = {at(0).Send(0, NumberedTag(0, 1), sent),
                          at(0).Receive(0, NumberedTag(0, 1), absl::MakeSpan(received))};
  EXPECT_EQ(at(0).Wait(transfers, absl::InfinitePast()), absl::OkStatus());
}

TEST_P(TransportFailureTest, AbortWakesEveryWait) {
  Make(2);
  absl::Status error = absl::AbortedError("a new epoch began");
  std::vector<std::vector<std::byte>> buffers(3, std::vector<std::byte>(kLarge));
  Transfer pending[] = {at(0).Receive(1, NumberedTag(1, 1), absl::MakeSpan(buffers[0])),
                        at(0).Receive(0, NumberedTag(0, 2), absl::MakeSpan(buffers[1])),
                        at(0).Send(1, NumberedTag(0, 3), buffers[2])};
  std::vector<absl::Status> results(3);
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i]() { results[i] = at(0).Wait({pending[i]}, Patience()); });
  }
  absl::Time begin = absl::Now();
  at(0).Abort(error);
  for (std::thread& thread : threads) thread.join();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  for (const absl::Status& result : results) EXPECT_EQ(result, error);
  EXPECT_EQ(at(0).status(), error);
  EXPECT_EQ(at(1).status(), absl::OkStatus()) << "a rank's failure is its own";
}

TEST_P(TransportFailureTest, AbortWakesAwaitUntil) {
  Make(2);
  std::vector<std::byte> buffer(100);
  Transfer receive = at(0).Receive(1, NumberedTag(1, 1), absl::MakeSpan(buffer));
  Transfer send = at(0).Send(1, NumberedTag(0, 1), buffer);
  bool settled = false;
  std::thread waiting([&]() { settled = at(0).AwaitUntil({receive, send}, Patience()); });
  absl::Time begin = absl::Now();
  at(0).Abort(absl::AbortedError("enough"));
  waiting.join();
  EXPECT_LT(absl::Now() - begin, absl::Seconds(10));
  EXPECT_TRUE(settled);
  EXPECT_TRUE(at(0).AwaitUntil({receive}, absl::InfinitePast())) << "failed, and says so at once";
  EXPECT_EQ(at(0).Wait({receive}, Patience()), absl::AbortedError("enough"));
}

TEST_P(TransportFailureTest, AbortBeforeAnyTraffic) {
  Make(2);
  at(0).Abort(absl::AbortedError("early"));
  std::vector<std::byte> buffer(10);
  Transfer transfers[] = {at(0).Send(1, NumberedTag(0, 1), buffer),
                          at(0).Receive(1, NumberedTag(1, 1), absl::MakeSpan(buffer))};
  EXPECT_EQ(at(0).Wait(transfers, Patience()), absl::AbortedError("early"));
}

TEST_P(TransportFailureTest, SizesMustAgree) {
  for (bool longer : {false, true}) {
    for (size_t size : {size_t{100}, size_t{3} << 20}) {
      Make(2);
      std::vector<std::byte> sent(size), received(longer ? size + 1 : size - 1);
      Transfer send = at(0).Send(1, NumberedTag(0, 9), sent);
      Transfer receive = at(1).Receive(0, NumberedTag(0, 9), absl::MakeSpan(received));
      absl::Status status = at(1).Wait({receive}, Patience());
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
      EXPECT_THAT(std::string(status.message()), HasSubstr("round 9"));
      EXPECT_EQ(at(1).status(), status);
      transports_.clear();
    }
  }
}

TEST_P(TransportFailureTest, LostPeerEndsTheWait) {
  Make(2);
  std::vector<std::byte> buffer(100);
  Transfer receive = at(0).Receive(1, NumberedTag(1, 1), absl::MakeSpan(buffer));
  transports_[1].reset();
  bool sees_lost_peers = GetParam() == Fabric::kInProcess || GetParam() == Fabric::kDelayed ||
                         GetParam() == Fabric::kUcxTcp;
  absl::Time deadline = sees_lost_peers ? Patience() : absl::Now() + absl::Milliseconds(300);
  absl::Status status = at(0).Wait({receive}, deadline);
  if (sees_lost_peers) {
    EXPECT_EQ(status, absl::UnavailableError("rank 1 is gone"));
  } else {
    EXPECT_TRUE(absl::IsDeadlineExceeded(status)) << status;
  }
  Transfer send = at(0).Send(1, NumberedTag(0, 1), buffer);
  EXPECT_EQ(at(0).Wait({send}, Patience()), status);
}

TEST_P(TransportFailureTest, LostPeerMattersToItsTrafficAlone) {
  Make(3);
  std::vector<std::byte> sent = Pattern(1 << 20, 1), received(1 << 20);
  for (int64_t i = 0; i < 2; ++i) {
    Transfer send = at(0).Send(1, NumberedTag(0, i), sent);
    Transfer receive = at(1).Receive(0, NumberedTag(0, i), absl::MakeSpan(received));
    ASSERT_EQ(at(1).Wait({receive}, Patience()), absl::OkStatus());
    ASSERT_EQ(at(0).Wait({send}, Patience()), absl::OkStatus());
    transports_[2].reset();
  }
}

TEST_P(TransportFailureTest, SendToALostPeerEnds) {
  Make(2);
  transports_[1].reset();
  std::vector<std::byte> buffer(kLarge);
  Transfer send = at(0).Send(1, NumberedTag(0, 1), buffer);
  absl::Status status = at(0).Wait({send}, absl::Now() + absl::Milliseconds(300));
  EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status)) << status;
}

TEST_P(TransportFailureTest, BuffersAreLeftAloneAfterWait) {
  // A rank gives up while large messages are on their way to it, and uses its memory for other
  // things; the sender goes on for a while.
  constexpr int kMessages = 4;
  const std::vector<std::byte> own(kLarge / kMessages, std::byte{0x55});
  for (int round = 0; round < 8; ++round) {
    Make(2);
    std::vector<std::byte> sent(kLarge / kMessages, std::byte{0xAA});
    std::vector<std::vector<std::byte>> buffers(kMessages, std::vector<std::byte>(sent.size()));
    std::vector<Transfer> sends, receives;
    for (int i = 0; i < kMessages; ++i) {
      receives.push_back(at(1).Receive(0, NumberedTag(0, i), absl::MakeSpan(buffers[i])));
    }
    std::thread sender([&]() {
      for (int i = 0; i < kMessages; ++i) {
        sends.push_back(at(0).Send(1, NumberedTag(0, i), sent));
      }
    });
    (void)at(1).Wait(receives, absl::Now() + absl::Milliseconds(round));
    at(1).Abort(absl::AbortedError("given up"));
    (void)at(1).Wait(receives, Patience());
    for (auto& buffer : buffers) std::memset(buffer.data(), 0x55, buffer.size());
    sender.join();
    (void)at(0).Wait(sends, absl::Now() + absl::Milliseconds(30));
    for (const auto& buffer : buffers) {
      EXPECT_EQ(std::memcmp(buffer.data(), own.data(), own.size()), 0);
    }
    transports_.clear();
  }
}

TEST_P(TransportFailureTest, DestructionWithPendingTransfersIsQuick) {
  for (bool receiver_first : {false, true}) {
    Make(3);
    std::vector<std::byte> out(kLarge), in(kLarge), small(100), matched(kLarge);
    for (int64_t i = 0; i < 3; ++i) {
      at(0).Send(1, NumberedTag(0, i), out);
      at(0).Send(2, NumberedTag(0, i), small);
    }
    at(1).Receive(0, NumberedTag(0, 0), absl::MakeSpan(matched));
    at(1).Receive(2, NumberedTag(2, 0), absl::MakeSpan(in));
    at(2).Receive(2, NumberedTag(2, 1), absl::MakeSpan(small));
    absl::Time begin = absl::Now();
    if (receiver_first) std::reverse(transports_.begin(), transports_.end());
    for (auto& transport : transports_) transport.reset();
    EXPECT_LT(absl::Now() - begin, absl::Seconds(5));
  }
}

}  // namespace
}  // namespace rally
