// What a UCX rank does with frames that no member of its epoch has sent, or that were damaged: all
// made by a bare UCX worker that knows the rank's address and as many of the keys as a test says.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include <absl/time/clock.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/transport/transport_fabric.h"
#include "workers/transport/crc32c.h"
#include "workers/transport/frame.h"
#include "workers/transport/ucx_address.h"
#include "workers/transport/ucx_transport.h"
#include "workers/transport/ucx_worker.h"

namespace rally {
namespace {

using testing::HasSubstr;

using Bytes = std::vector<std::byte>;

constexpr size_t kSmall = 1000;
constexpr size_t kLarge = 300000;
constexpr size_t kGuard = 64;

// A worker of UCX's that is no rank. What it sends and nobody takes stays on its way.
class BareWorker {
 public:
  BareWorker(const std::string& transports, const std::string& victim) {
    auto worker = UcxWorker::Create({.transports = transports}, [](int32_t /*peer*/) {});
    EXPECT_TRUE(worker.ok()) << worker.status();
    worker_ = *std::move(worker);
    const std::string addresses[] = {ParseUcxAddress(victim)->worker};
    EXPECT_EQ(worker_->Connect(addresses, /*self=*/-1), absl::OkStatus());
  }
  ~BareWorker() { worker_->Close(/*flush=*/false, absl::Milliseconds(300)); }

  void Send(uint64_t wire_tag, Bytes bytes) {
    messages_.push_back(std::make_unique<Message>());
    messages_.back()->bytes = std::move(bytes);
    worker_->Send(0, wire_tag, messages_.back()->bytes, messages_.back().get());
    Push();
  }

  void Push() {
    while (worker_->Progress()) {
    }
  }

 private:
  struct Message : UcxWorker::Operation {
    void OnComplete(const absl::Status& /*status*/, size_t /*bytes*/) override {}
    Bytes bytes;
  };

  std::vector<std::unique_ptr<Message>> messages_;
  std::unique_ptr<UcxWorker> worker_;
};

class UcxStrangerTest : public testing::TestWithParam<Fabric> {
 protected:
  void SetUp() override {
    transports_ = MakeFabric(GetParam(), 2);
    std::vector<std::string> addresses = {at(0).address(), at(1).address()};
    keys_ = FrameKeys(kTestSecret, addresses);
    bare_ = std::make_unique<BareWorker>(
        GetParam() == Fabric::kUcxTcp ? "tcp,self" : UcxOptions().transports, at(1).address());
  }

  Transport& at(int32_t rank) { return *transports_[rank]; }

  // A head that rank 1 believes, of `payload` from rank 0.
  Bytes GoodHead(const Tag& tag, const Bytes& payload, uint64_t sequence) {
    FrameHeader header = {.has_checksum = true,
                          .checksum = Crc32c(payload),
                          .size = payload.size(),
                          .sequence = sequence};
    header.authenticator = keys_.Authenticate(header, tag, 1);
    Bytes head(kFrameHeaderBytes);
    WriteFrameHeader(header, head.data());
    if (!header.has_body()) head.insert(head.end(), payload.begin(), payload.end());
    return head;
  }

  // Until `transfer` is complete, or as many strangers' messages have come; lets UCX work
  // meanwhile.
  void AwaitComplete(const Transfer& transfer) {
    const absl::Time deadline = Patience();
    while (!at(1).AwaitUntil({transfer}, absl::Now() + absl::Milliseconds(1))) {
      bare_->Push();
      ASSERT_LT(absl::Now(), deadline);
    }
  }
  void AwaitStrangers(const Transfer& incomplete, int64_t count) {
    const absl::Time deadline = Patience();
    while (at(1).counters().strangers < count) {
      bare_->Push();
      ASSERT_FALSE(at(1).AwaitUntil({incomplete}, absl::Now() + absl::Milliseconds(1)))
          << at(1).status();
      ASSERT_LT(absl::Now(), deadline);
    }
    EXPECT_EQ(at(1).counters().strangers, count);
  }

  // Rank 0 sends what rank 1 waits for; it comes as it was sent.
  void ExpectArrives(const Tag& tag, const Transfer& receive,
                     absl::Span<const std::byte> received) {
    const Bytes sent = Pattern(received.size(), 77);
    Transfer send = at(0).Send(1, tag, sent);
    ASSERT_EQ(at(1).Wait({receive}, Patience()), absl::OkStatus());
    ASSERT_EQ(at(0).Wait({send}, Patience()), absl::OkStatus());
    EXPECT_TRUE(absl::MakeConstSpan(sent) == received);
  }

  std::vector<std::unique_ptr<Transport>> transports_;
  FrameKeys keys_;
  std::unique_ptr<BareWorker> bare_;
};

INSTANTIATE_TEST_SUITE_P(Fabrics, UcxStrangerTest,
                         testing::Values(Fabric::kUcxSharedMemory, Fabric::kUcxUnchecked,
                                         Fabric::kUcxTcp),
                         [](const auto& info) { return FabricName(info.param); });

TEST_P(UcxStrangerTest, GuessedTagsReachNobody) {
  std::mt19937_64 random(1);
  for (int64_t number = 0; number < 50; ++number) {
    const Tag tag = NumberedTag(0, number);
    Bytes received(number % 2 == 0 ? kSmall : kLarge, std::byte{0x55});
    const Transfer receive = at(1).Receive(0, tag, absl::MakeSpan(received));
    for (uint64_t wire_tag : {tag.Encode(), random()}) {
      for (size_t size : {size_t{0}, size_t{8}, kFrameHeaderBytes, received.size(), kLarge + 1}) {
        bare_->Send(wire_tag, Bytes(size, std::byte{0xAA}));
      }
    }
    ASSERT_NO_FATAL_FAILURE(ExpectArrives(tag, receive, received));
  }
  EXPECT_EQ(at(1).status(), absl::OkStatus());
  EXPECT_EQ(at(1).counters().strangers, 0);
}

// Somebody has overheard the wire tag of a message that is waited for.
TEST_P(UcxStrangerTest, ForgedFramesAreDroppedAndTheMessageStillArrives) {
  int64_t strangers = 0;
  for (size_t size : {size_t{0}, kSmall, kLarge}) {
    const Tag tag = NumberedTag(0, static_cast<int64_t>(size));
    Bytes around(size + 2 * kGuard, std::byte{0x55});
    const absl::Span<std::byte> received = absl::MakeSpan(around).subspan(kGuard, size);
    const Transfer receive = at(1).Receive(0, tag, received);
    const Bytes good = GoodHead(tag, Pattern(size, 1), 1);
    std::vector<Bytes> forged = {{},
                                 Bytes(kFrameHeaderBytes - 1, std::byte{'R'}),
                                 Bytes(kLongestHead + 1, std::byte{0xAA}),
                                 Bytes(kLarge, std::byte{0xAA})};
    for (size_t offset : {0, 2, 3, 4, 8, 16, 24, 31}) {
      forged.push_back(good);
      forged.back()[offset] ^= std::byte{1};
    }
    forged.push_back(good);
    forged.back().push_back(std::byte{0});
    forged.emplace_back(good.begin(), good.begin() + 20);
    for (const Bytes& head : forged) bare_->Send(keys_.HeadTag(tag, 1), head);
    strangers += static_cast<int64_t>(forged.size());
    if (size == kLarge) {
      for (size_t wrong : {size_t{0}, size_t{100}, size - 1, size + 1, 2 * size}) {
        bare_->Send(keys_.BodyTag(tag, 1), Bytes(wrong, std::byte{0xAA}));
        ++strangers;
      }
    }
    ASSERT_NO_FATAL_FAILURE(AwaitStrangers(receive, strangers));
    ASSERT_NO_FATAL_FAILURE(ExpectArrives(tag, receive, received));
    const Bytes guard(kGuard, std::byte{0x55});
    EXPECT_TRUE(std::equal(guard.begin(), guard.end(), around.begin()));
    EXPECT_TRUE(std::equal(guard.begin(), guard.end(), around.end() - kGuard));
  }
  EXPECT_EQ(at(1).status(), absl::OkStatus());
}

TEST_P(UcxStrangerTest, ReplayedFramesAreDropped) {
  const Tag tag = NumberedTag(0, 1);
  const Bytes payload = Pattern(kSmall, 3);
  Bytes received(kSmall);
  Transfer receive = at(1).Receive(0, tag, absl::MakeSpan(received));
  bare_->Send(keys_.HeadTag(tag, 1), GoodHead(tag, payload, 99));
  ASSERT_NO_FATAL_FAILURE(AwaitComplete(receive));
  ASSERT_EQ(at(1).Wait({receive}, Patience()), absl::OkStatus()) << "made by who has the keys";
  EXPECT_TRUE(received == payload);

  received.assign(kSmall, std::byte{0});
  receive = at(1).Receive(0, tag, absl::MakeSpan(received));
  bare_->Send(keys_.HeadTag(tag, 1), GoodHead(tag, payload, 99));
  ASSERT_NO_FATAL_FAILURE(AwaitStrangers(receive, 1));
  ASSERT_NO_FATAL_FAILURE(ExpectArrives(tag, receive, received));
}

TEST_P(UcxStrangerTest, AFlippedBitIsDataLoss) {
  for (size_t size : {kSmall, kLarge}) {
    if (size == kLarge) SetUp();
    const Tag tag = NumberedTag(0, 42);
    Bytes received(size);
    const Transfer receive = at(1).Receive(0, tag, absl::MakeSpan(received));
    Bytes payload = Pattern(size, 4);
    Bytes head = GoodHead(tag, payload, 1);
    (size == kSmall ? head.back() : payload[size / 2]) ^= std::byte{0x10};
    bare_->Send(keys_.HeadTag(tag, 1), head);
    if (size == kLarge) bare_->Send(keys_.BodyTag(tag, 1), payload);
    ASSERT_NO_FATAL_FAILURE(AwaitComplete(receive));
    const absl::Status status = at(1).Wait({receive}, Patience());
    EXPECT_EQ(status.code(), absl::StatusCode::kDataLoss) << status;
    EXPECT_THAT(std::string(status.message()), HasSubstr(tag.ToString()));
    EXPECT_THAT(std::string(status.message()), HasSubstr("by peer 0"));
    EXPECT_EQ(at(1).status(), status);
    EXPECT_EQ(at(1).Wait({}, Patience()), status);
  }
}

TEST(UcxSecret, RanksWithUnequalSecretsDoNotMeet) {
  std::vector<std::unique_ptr<Transport>> transports;
  std::vector<std::string> addresses;
  for (int32_t rank = 0; rank < 2; ++rank) {
    auto transport = MakeUcxTransport({.rank = rank, .ranks = 2});
    ASSERT_TRUE(transport.ok()) << transport.status();
    addresses.push_back((*transport)->address());
    transports.push_back(*std::move(transport));
  }
  ASSERT_EQ(transports[0]->Connect(addresses, "the secret of one epoch"), absl::OkStatus());
  ASSERT_EQ(transports[1]->Connect(addresses, "the secret of another one"), absl::OkStatus());
  Bytes sent(kSmall), received(kSmall, std::byte{0x55});
  const Transfer receive = transports[1]->Receive(0, NumberedTag(0, 1), absl::MakeSpan(received));
  const Transfer send = transports[0]->Send(1, NumberedTag(0, 1), sent);
  EXPECT_FALSE(transports[1]->AwaitUntil({receive}, absl::Now() + absl::Milliseconds(100)));
  EXPECT_EQ(transports[1]->status(), absl::OkStatus());
  EXPECT_EQ(received, Bytes(kSmall, std::byte{0x55}));
}

}  // namespace
}  // namespace rally
