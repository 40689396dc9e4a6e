// What every transport does with messages that arrive. Failures are transport_failure_test.cc's.
#include <algorithm>
#include <cstddef>
#include <cstdint>
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

class TransportConformanceTest : public testing::TestWithParam<Fabric> {
 protected:
  void Make(int32_t ranks) { transports_ = MakeFabric(GetParam(), ranks); }
  Transport& at(int32_t rank) { return *transports_[rank]; }

  std::vector<std::unique_ptr<Transport>> transports_;
};

INSTANTIATE_TEST_SUITE_P(AllFabrics, TransportConformanceTest, testing::ValuesIn(kAllFabrics),
                         [](const auto& info) { return FabricName(info.param); });

TEST_P(TransportConformanceTest, KnowsItsPlace) {
  Make(3);
  for (int32_t rank = 0; rank < 3; ++rank) {
    EXPECT_EQ(at(rank).rank(), rank);
    EXPECT_EQ(at(rank).ranks(), 3);
    EXPECT_FALSE(at(rank).address().empty());
    EXPECT_EQ(at(rank).status(), absl::OkStatus());
  }
  EXPECT_EQ(at(0).Wait({}, Patience()), absl::OkStatus());
}

TEST_P(TransportConformanceTest, MovesEverySize) {
  Make(2);
  int64_t number = 0;
  for (size_t size : {size_t{1}, size_t{7}, size_t{64}, size_t{8191}, size_t{8192}, size_t{65537},
                      size_t{1} << 20, (size_t{8} << 20) + 3, size_t{64} << 20}) {
    for (bool receive_first : {false, true}) {
      std::vector<std::byte> sent = Pattern(size, ++number);
      std::vector<std::byte> received(size);
      Tag tag = NumberedTag(0, number);
      Transfer send, receive;
      if (receive_first) receive = at(1).Receive(0, tag, absl::MakeSpan(received));
      send = at(0).Send(1, tag, sent);
      if (!receive_first) receive = at(1).Receive(0, tag, absl::MakeSpan(received));
      ASSERT_EQ(at(1).Wait({receive}, Patience()), absl::OkStatus());
      ASSERT_EQ(at(0).Wait({send}, Patience()), absl::OkStatus());
      ASSERT_TRUE(sent == received) << size << " bytes";
    }
  }
}

TEST_P(TransportConformanceTest, MovesEmptyMessages) {
  Make(2);
  Tag tag = NumberedTag(0, 1);
  Transfer send = at(0).Send(1, tag, {});
  Transfer receive = at(1).Receive(0, tag, {});
  EXPECT_EQ(at(0).Wait({send}, Patience()), absl::OkStatus());
  EXPECT_EQ(at(1).Wait({receive}, Patience()), absl::OkStatus());
  Transfer local[] = {at(0).Send(0, tag, {}), at(0).Receive(0, tag, {})};
  EXPECT_EQ(at(0).Wait(local, Patience()), absl::OkStatus());
}

TEST_P(TransportConformanceTest, MatchesByTagWhateverTheOrder) {
  Make(2);
  constexpr int64_t kMessages = 40;
  std::vector<std::vector<std::byte>> sent, received;
  std::vector<Transfer> sends, receives;
  for (int64_t i = 0; i < kMessages; ++i) {
    size_t size = i % 4 == 0 ? 300000 : 100 + i;  // Both eager and by rendezvous.
    sent.push_back(Pattern(size, i));
    received.emplace_back(size);
  }
  for (int64_t i = 0; i < kMessages; ++i) {
    sends.push_back(at(0).Send(1, NumberedTag(0, i), sent[i]));
  }
  for (int64_t i = kMessages - 1; i >= 0; --i) {
    receives.push_back(at(1).Receive(0, NumberedTag(0, i), absl::MakeSpan(received[i])));
  }
  ASSERT_EQ(at(1).Wait(receives, Patience()), absl::OkStatus());
  ASSERT_EQ(at(0).Wait(sends, Patience()), absl::OkStatus());
  EXPECT_TRUE(sent == received);
}

TEST_P(TransportConformanceTest, WaitsForOneOfTwoInFlight) {
  Make(2);
  std::vector<std::byte> first = Pattern(1000, 1), second = Pattern(1000, 2);
  std::vector<std::byte> got_first(1000), got_second(1000);
  Transfer receives[] = {at(1).Receive(0, NumberedTag(0, 1), absl::MakeSpan(got_first)),
                         at(1).Receive(0, NumberedTag(0, 2), absl::MakeSpan(got_second))};
  Transfer send_second = at(0).Send(1, NumberedTag(0, 2), second);
  ASSERT_EQ(at(1).Wait({receives[1]}, Patience()), absl::OkStatus());
  EXPECT_TRUE(second == got_second);
  Transfer send_first = at(0).Send(1, NumberedTag(0, 1), first);
  ASSERT_EQ(at(1).Wait(receives, Patience()), absl::OkStatus());
  EXPECT_TRUE(first == got_first);
  EXPECT_EQ(at(0).Wait({send_first, send_second}, Patience()), absl::OkStatus());
  EXPECT_EQ(at(0).Wait({send_first}, Patience()), absl::OkStatus()) << "waited for twice";
}

TEST_P(TransportConformanceTest, AwaitsWithoutFailing) {
  Make(2);
  std::vector<std::byte> sent = Pattern(1000, 1), received(1000);
  Transfer receive = at(1).Receive(0, NumberedTag(0, 1), absl::MakeSpan(received));
  absl::Time time = absl::Now() + absl::Milliseconds(30);
  EXPECT_FALSE(at(1).AwaitUntil({receive}, time));
  EXPECT_GE(absl::Now(), time);
  EXPECT_FALSE(at(1).AwaitUntil({receive}, absl::InfinitePast()));
  EXPECT_EQ(at(1).status(), absl::OkStatus()) << "running out of time is no error here";
  Transfer send = at(0).Send(1, NumberedTag(0, 1), sent);
  EXPECT_TRUE(at(1).AwaitUntil({receive}, Patience()));
  EXPECT_TRUE(at(0).AwaitUntil({send, Transfer()}, Patience()));
  EXPECT_TRUE(at(1).AwaitUntil({receive}, absl::InfinitePast())) << "complete, however late";
  EXPECT_TRUE(at(1).AwaitUntil({}, absl::InfinitePast()));
  ASSERT_EQ(at(1).Wait({receive}, absl::InfinitePast()), absl::OkStatus());
  ASSERT_EQ(at(0).Wait({send}, absl::InfinitePast()), absl::OkStatus());
  EXPECT_TRUE(sent == received);
}

TEST_P(TransportConformanceTest, KeepsMessagesToItselfInMemory) {
  Make(2);
  std::vector<std::byte> sent = Pattern(3 << 20, 5), received(3 << 20);
  Tag tag = NumberedTag(1, 1);
  Transfer transfers[] = {at(1).Receive(1, tag, absl::MakeSpan(received)),
                          at(1).Send(1, tag, sent)};
  ASSERT_EQ(at(1).Wait(transfers, Patience()), absl::OkStatus());
  EXPECT_TRUE(sent == received);
  TransportCounters counters = at(1).counters();
  EXPECT_EQ(counters.bytes_local, 3 << 20);
  EXPECT_EQ(counters.bytes_sent, 0);
  EXPECT_EQ(counters.bytes_received, 0);
  EXPECT_EQ(counters.messages_sent, 0);
}

TEST_P(TransportConformanceTest, BuffersToItselfChangeWhatTheyHold) {
  Make(2);
  BufferPool pool;
  for (const bool receive_first : {false, true}) {
    const std::vector<std::byte> pattern = Pattern(3 << 20, 6);
    Buffer sent = pool.Allocate(pattern.size()), received = pool.Allocate(pattern.size());
    std::copy(pattern.begin(), pattern.end(), sent.data());
    const std::byte* const data = sent.data();
    const Tag tag = NumberedTag(1, receive_first);
    std::vector<Transfer> transfers;
    if (receive_first) transfers.push_back(at(1).ReceiveBuffer(1, tag, &received));
    transfers.push_back(at(1).SendBuffer(1, tag, &sent));
    if (!receive_first) transfers.push_back(at(1).ReceiveBuffer(1, tag, &received));
    ASSERT_EQ(at(1).Wait(transfers, Patience()), absl::OkStatus());
    EXPECT_EQ(received.data(), data) << "copied";
    EXPECT_NE(sent.data(), data);
    EXPECT_TRUE(std::equal(pattern.begin(), pattern.end(), received.data()));
  }
  EXPECT_EQ(at(1).counters().bytes_local, 6 << 20);
}

TEST_P(TransportConformanceTest, BuffersToOthersKeepTheirMemory) {
  Make(2);
  BufferPool pool;
  const std::vector<std::byte> pattern = Pattern(1 << 20, 7);
  Buffer sent = pool.Allocate(pattern.size()), received = pool.Allocate(pattern.size());
  std::copy(pattern.begin(), pattern.end(), sent.data());
  const std::byte* const data = received.data();
  const Transfer receive = at(1).ReceiveBuffer(0, NumberedTag(0, 1), &received);
  const Transfer send = at(0).SendBuffer(1, NumberedTag(0, 1), &sent);
  ASSERT_EQ(at(1).Wait({receive}, Patience()), absl::OkStatus());
  ASSERT_EQ(at(0).Wait({send}, Patience()), absl::OkStatus());
  EXPECT_EQ(received.data(), data);
  EXPECT_TRUE(std::equal(pattern.begin(), pattern.end(), received.data()));
}

// One end's bytes may be no buffer of its own: a copy then.
TEST_P(TransportConformanceTest, ABufferToItselfMeetsPlainBytes) {
  Make(1);
  BufferPool pool;
  const std::vector<std::byte> pattern = Pattern(1000, 8);
  std::vector<std::byte> bytes(1000);
  Buffer buffer = pool.Allocate(1000);
  std::copy(pattern.begin(), pattern.end(), buffer.data());
  const Transfer there[] = {at(0).SendBuffer(0, NumberedTag(0, 1), &buffer),
                            at(0).Receive(0, NumberedTag(0, 1), absl::MakeSpan(bytes))};
  ASSERT_EQ(at(0).Wait(there, Patience()), absl::OkStatus());
  EXPECT_TRUE(bytes == pattern);
  std::fill_n(buffer.data(), 1000, std::byte{0});
  const Transfer back[] = {at(0).ReceiveBuffer(0, NumberedTag(0, 2), &buffer),
                           at(0).Send(0, NumberedTag(0, 2), bytes)};
  ASSERT_EQ(at(0).Wait(back, Patience()), absl::OkStatus());
  EXPECT_TRUE(std::equal(pattern.begin(), pattern.end(), buffer.data()));
}

TEST_P(TransportConformanceTest, CountsBytesAndMessages) {
  Make(2);
  std::vector<std::byte> sent(1000), received(1000);
  std::vector<Transfer> sends, receives;
  for (int64_t i = 0; i < 5; ++i) {
    sends.push_back(at(0).Send(1, NumberedTag(0, i), sent));
    receives.push_back(at(1).Receive(0, NumberedTag(0, i), absl::MakeSpan(received)));
    ASSERT_EQ(at(1).Wait({receives.back()}, Patience()), absl::OkStatus());
  }
  ASSERT_EQ(at(0).Wait(sends, Patience()), absl::OkStatus());
  EXPECT_EQ(at(0).counters().bytes_sent, 5000);
  EXPECT_EQ(at(0).counters().messages_sent, 5);
  EXPECT_EQ(at(0).counters().bytes_received, 0);
  EXPECT_EQ(at(1).counters().bytes_received, 5000);
  EXPECT_EQ(at(1).counters().messages_sent, 0);
}

// One rank's part of several rounds of all-to-all; large and small messages, its own included.
void RunAllToAll(Transport& transport, int64_t rounds, std::vector<std::string>* faults) {
  int32_t ranks = transport.ranks(), self = transport.rank();
  auto size_of = [](int64_t round, int32_t from, int32_t to) {
    return static_cast<size_t>(1 + round * 97 + from * 1013 + to * (to % 2 == 0 ? 11 : 20011));
  };
  auto seed_of = [](int64_t round, int32_t from, int32_t to) {
    return static_cast<uint64_t>(round * 10000 + from * 100 + to);
  };
  for (int64_t round = 0; round < rounds; ++round) {
    std::vector<std::vector<std::byte>> out(ranks), in(ranks);
    std::vector<Transfer> transfers;
    for (int32_t peer = 0; peer < ranks; ++peer) {
      in[peer].resize(size_of(round, peer, self));
      out[peer] = Pattern(size_of(round, self, peer), seed_of(round, self, peer));
      transfers.push_back(
          transport.Receive(peer, NumberedTag(peer, round), absl::MakeSpan(in[peer])));
      transfers.push_back(transport.Send(peer, NumberedTag(self, round), out[peer]));
    }
    absl::Status status = transport.Wait(transfers, Patience());
    if (!status.ok()) return faults->push_back(status.ToString());
    for (int32_t peer = 0; peer < ranks; ++peer) {
      if (in[peer] != Pattern(size_of(round, peer, self), seed_of(round, peer, self))) {
        faults->push_back("wrong bytes from " + NumberedTag(peer, round).ToString());
      }
    }
  }
}

TEST_P(TransportConformanceTest, AllToAll) {
  constexpr int32_t kRanks = 6;
  Make(kRanks);
  std::vector<std::vector<std::string>> faults(kRanks);
  std::vector<std::thread> threads;
  for (int32_t rank = 0; rank < kRanks; ++rank) {
    threads.emplace_back([&, rank]() { RunAllToAll(at(rank), 20, &faults[rank]); });
  }
  for (std::thread& thread : threads) thread.join();
  for (const auto& of_rank : faults) EXPECT_THAT(of_rank, testing::IsEmpty());
}

TEST_P(TransportConformanceTest, ServesManyThreadsOfOneRank) {
  Make(2);
  constexpr int kThreads = 4, kMessages = 50;
  std::vector<std::thread> threads;
  for (int t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t]() {
      for (int i = 0; i < kMessages; ++i) {
        std::vector<std::byte> sent = Pattern(500 + i * 700, t * 1000 + i), received(sent.size());
        Tag tag = NumberedTag(t % 2, t * 1000 + i);
        Transport& from = at(t % 2);
        Transport& to = at(1 - t % 2);
        Transfer receive = to.Receive(from.rank(), tag, absl::MakeSpan(received));
        Transfer send = from.Send(to.rank(), tag, sent);
        ASSERT_EQ(to.Wait({receive}, Patience()), absl::OkStatus());
        ASSERT_EQ(from.Wait({send}, Patience()), absl::OkStatus());
        ASSERT_TRUE(sent == received);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace
}  // namespace rally
