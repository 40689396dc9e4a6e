#include "services/coordinator/member_message.h"

#include <cstdint>
#include <functional>
#include <limits>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace rally {
namespace {

using testing::HasSubstr;

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();

v1::MemberMessage Good() {
  v1::MemberMessage message;
  v1::RoundDone* done = message.mutable_round_done();
  done->set_round(3);
  done->set_loss(std::numeric_limits<double>::quiet_NaN());  // Ends the job, not the session.
  done->set_bytes_sent(1 << 30);
  done->set_attention_pairs(int64_t{1} << 60);
  done->mutable_attention_compute()->set_nanos(999999999);
  done->add_device_seconds(0.0);
  return message;
}

void ExpectRefused(const std::string& field, const std::function<void(v1::MemberMessage*)>& spoil) {
  v1::MemberMessage message = Good();
  spoil(&message);
  const absl::Status status = CheckMemberMessage(message);
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << field;
  EXPECT_THAT(std::string(status.message()), HasSubstr(field));
}

TEST(MemberMessage, TakesWhatGoodMembersSay) {
  EXPECT_TRUE(CheckMemberMessage(Good()).ok());
  v1::MemberMessage message;
  EXPECT_TRUE(CheckMemberMessage(message).ok());
  message.mutable_ready()->set_step(10000000);
  message.mutable_ready()->mutable_position()->set_index(1 << 30);
  EXPECT_TRUE(CheckMemberMessage(message).ok());
  message.mutable_prepared()->set_transport_address(std::string(4096, 'a'));
  EXPECT_TRUE(CheckMemberMessage(message).ok());
  message.mutable_committed()->set_round(1);
  EXPECT_TRUE(CheckMemberMessage(message).ok());
}

TEST(MemberMessage, RefusesPositionsThatNoDatasetHas) {
  ExpectRefused("ready.step: -1", [](auto* m) { m->mutable_ready()->set_step(-1); });
  ExpectRefused("ready.position.pass",
                [](auto* m) { m->mutable_ready()->mutable_position()->set_pass(kMost); });
  ExpectRefused("ready.position.index: -5",
                [](auto* m) { m->mutable_ready()->mutable_position()->set_index(-5); });
  ExpectRefused("ready.position.token",
                [](auto* m) { m->mutable_ready()->mutable_position()->set_token(-1); });
}

TEST(MemberMessage, RefusesFiguresWhoseSumsDoNotFit) {
  ExpectRefused("round_done.bytes_sent",
                [](auto* m) { m->mutable_round_done()->set_bytes_sent(kMost); });
  ExpectRefused("round_done.attention_pairs: -1",
                [](auto* m) { m->mutable_round_done()->set_attention_pairs(-1); });
  ExpectRefused("round_done.round", [](auto* m) { m->mutable_round_done()->set_round(-1); });
  ExpectRefused("round_done.compute.seconds",
                [](auto* m) { m->mutable_round_done()->mutable_compute()->set_seconds(kMost); });
  ExpectRefused("round_done.waiting.nanos",
                [](auto* m) { m->mutable_round_done()->mutable_waiting()->set_nanos(-1); });
  ExpectRefused("round_done.device_seconds: inf", [](auto* m) {
    m->mutable_round_done()->add_device_seconds(std::numeric_limits<double>::infinity());
  });
  ExpectRefused("round_done.device_seconds.size", [](auto* m) {
    for (int i = 0; i < 100; ++i) m->mutable_round_done()->add_device_seconds(1.0);
  });
  ExpectRefused("committed.step", [](auto* m) { m->mutable_committed()->set_step(-1); });
  ExpectRefused("prepared.transport_address.size", [](auto* m) {
    m->mutable_prepared()->set_transport_address(std::string(1 << 20, 'a'));
  });
}

}  // namespace
}  // namespace rally
