#include "services/coordinator/member_message.h"

#include <cmath>
#include <cstdint>

#include <absl/strings/str_cat.h>
#include <absl/strings/string_view.h>

#include "common/status_macros.h"

namespace rally {
namespace {

constexpr int64_t kMostCount = int64_t{1} << 50;  // Thousands of ranks' sum fits.
constexpr int64_t kMostSeconds = int64_t{1} << 30;
constexpr int kMostAddressBytes = 1 << 16;
constexpr int kMostDeviceSeconds = 64;

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, ": ", value, " is not in [", low, ", ", high, "]"));
}

absl::Status CheckCount(absl::string_view field, int64_t value) {
  return CheckRange(field, value, 0, kMostCount);
}

absl::Status CheckDuration(absl::string_view field, const google::protobuf::Duration& duration) {
  RALLY_RETURN_IF_ERROR(
      CheckRange(absl::StrCat(field, ".seconds"), duration.seconds(), 0, kMostSeconds));
  return CheckRange(absl::StrCat(field, ".nanos"), duration.nanos(), 0, 999999999);
}

absl::Status CheckPosition(absl::string_view field, const v1::DataPosition& position) {
  RALLY_RETURN_IF_ERROR(CheckCount(absl::StrCat(field, ".pass"), position.pass()));
  RALLY_RETURN_IF_ERROR(CheckCount(absl::StrCat(field, ".index"), position.index()));
  return CheckCount(absl::StrCat(field, ".token"), position.token());
}

absl::Status CheckReady(const v1::Ready& message) {
  RALLY_RETURN_IF_ERROR(CheckCount("ready.step", message.step()));
  return CheckPosition("ready.position", message.position());
}

absl::Status CheckRoundDone(const v1::RoundDone& message) {
  RALLY_RETURN_IF_ERROR(CheckCount("round_done.round", message.round()));
  RALLY_RETURN_IF_ERROR(CheckCount("round_done.bytes_sent", message.bytes_sent()));
  RALLY_RETURN_IF_ERROR(
      CheckRange("round_done.attention_pairs", message.attention_pairs(), 0, INT64_MAX));
  RALLY_RETURN_IF_ERROR(CheckDuration("round_done.compute", message.compute()));
  RALLY_RETURN_IF_ERROR(CheckDuration("round_done.waiting", message.waiting()));
  RALLY_RETURN_IF_ERROR(CheckDuration("round_done.attention_compute", message.attention_compute()));
  RALLY_RETURN_IF_ERROR(CheckRange("round_done.device_seconds.size", message.device_seconds_size(),
                                   0, kMostDeviceSeconds));
  for (const double seconds : message.device_seconds()) {
    if (seconds >= 0.0 && std::isfinite(seconds)) continue;
    return absl::InvalidArgumentError(
        absl::StrCat("round_done.device_seconds: ", seconds, " is not a number of at least 0"));
  }
  return absl::OkStatus();
}

absl::Status CheckCommitted(const v1::Committed& message) {
  RALLY_RETURN_IF_ERROR(CheckCount("committed.round", message.round()));
  return CheckCount("committed.step", message.step());
}

absl::Status CheckRecord(const v1::RoundRecord& record) {
  const v1::Plan& plan = record.plan();
  RALLY_RETURN_IF_ERROR(CheckCount("prepared.standing.plan.round", plan.round()));
  RALLY_RETURN_IF_ERROR(CheckCount("prepared.standing.plan.step", plan.step()));
  RALLY_RETURN_IF_ERROR(
      CheckPosition("prepared.standing.plan.next_position", plan.next_position()));
  for (const int64_t tokens : plan.documents().tokens()) {
    RALLY_RETURN_IF_ERROR(
        CheckRange("prepared.standing.plan.documents.tokens", tokens, 0, int64_t{1} << 40));
  }
  RALLY_RETURN_IF_ERROR(CheckRoundDone(record.done()));
  return CheckCommitted(record.committed());
}

absl::Status CheckStanding(const v1::Standing& standing) {
  RALLY_RETURN_IF_ERROR(CheckCount("prepared.standing.round", standing.round()));
  RALLY_RETURN_IF_ERROR(CheckCount("prepared.standing.collected", standing.collected()));
  RALLY_RETURN_IF_ERROR(CheckCount("prepared.standing.step", standing.step()));
  RALLY_RETURN_IF_ERROR(CheckPosition("prepared.standing.position", standing.position()));
  RALLY_RETURN_IF_ERROR(CheckCount("prepared.standing.saving", standing.saving()));
  RALLY_RETURN_IF_ERROR(CheckCount("prepared.standing.saved.step", standing.saved().step()));
  RALLY_RETURN_IF_ERROR(CheckRecord(standing.current()));
  return CheckRecord(standing.last());
}

absl::Status CheckPrepared(const v1::Prepared& message) {
  RALLY_RETURN_IF_ERROR(CheckRange("prepared.transport_address.size",
                                   static_cast<int64_t>(message.transport_address().size()), 0,
                                   kMostAddressBytes));
  RALLY_RETURN_IF_ERROR(CheckStanding(message.standing()));
  return CheckRange("prepared.rendezvous.size", static_cast<int64_t>(message.rendezvous().size()),
                    0, kMostAddressBytes);
}

}  // namespace

absl::Status CheckMemberMessage(const v1::MemberMessage& message) {
  switch (message.message_case()) {
    case v1::MemberMessage::kPrepared:
      return CheckPrepared(message.prepared());
    case v1::MemberMessage::kReady:
      return CheckReady(message.ready());
    case v1::MemberMessage::kRoundDone:
      return CheckRoundDone(message.round_done());
    case v1::MemberMessage::kCommitted:
      return CheckCommitted(message.committed());
    default:
      return absl::OkStatus();  // Nothing in it is counted with.
  }
}

}  // namespace rally
