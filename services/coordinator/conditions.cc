#include "services/coordinator/conditions.h"

#include <utility>

#include <absl/strings/ascii.h>

#include "proto/convert.h"
#include "proto/wire_text.h"

namespace rally {
namespace {

constexpr size_t kLongestConditionMessage = 8192;  // Bytes.

}  // namespace

bool SetCondition(v1::JobStatus* status, absl::string_view type, bool value,
                  absl::string_view reason, absl::string_view text, absl::Time now) {
  const v1::ConditionStatus wanted = value ? v1::CONDITION_STATUS_TRUE : v1::CONDITION_STATUS_FALSE;
  v1::Condition* condition = nullptr;
  for (v1::Condition& candidate : *status->mutable_conditions()) {
    if (candidate.type() == type) condition = &candidate;
  }
  if (condition == nullptr) {
    condition = status->add_conditions();
    condition->set_type(std::string(type));
  }
  const bool same = condition->status() == wanted && condition->reason() == reason;
  if (same && condition->message() == text) return false;
  std::string message = WireText(text, kLongestConditionMessage);
  if (same && condition->message() == message) return false;
  if (condition->status() != wanted) *condition->mutable_last_transition_time() = ToProto(now);
  condition->set_status(wanted);
  condition->set_reason(std::string(reason));
  condition->set_message(std::move(message));
  return true;
}

const v1::Condition* FindCondition(const v1::JobStatus& status, absl::string_view type) {
  for (const v1::Condition& condition : status.conditions()) {
    if (condition.type() == type) return &condition;
  }
  return nullptr;
}

bool IsFinal(v1::JobPhase phase) {
  return phase == v1::JOB_PHASE_SUCCEEDED || phase == v1::JOB_PHASE_FAILED ||
         phase == v1::JOB_PHASE_CANCELLED;
}

std::string ReasonOf(absl::StatusCode code) {
  std::string reason;
  bool upper = true;
  for (char letter : absl::StatusCodeToString(code)) {  // As INVALID_ARGUMENT.
    if (letter == '_') {
      upper = true;
      continue;
    }
    reason.push_back(upper ? letter : absl::ascii_tolower(letter));
    upper = false;
  }
  return reason.empty() ? "Unknown" : reason;
}

bool IsUserError(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kNotFound:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kOutOfRange:
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kPermissionDenied:
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kUnauthenticated:
      return true;
    default:
      return false;
  }
}

}  // namespace rally
