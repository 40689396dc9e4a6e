#include "services/cli/interruption.h"

#include <utility>

#include "common/check.h"

namespace rally {

void Interruption::Interrupt(absl::Status reason) {
  RALLY_CHECK(!reason.ok(), "an interruption needs a reason");
  absl::MutexLock lock(&mutex_);
  if (!reason_.ok()) return;
  reason_ = std::move(reason);
  for (const std::function<void()>& wake : wakers_) wake();
}

absl::Status Interruption::reason() const {
  absl::MutexLock lock(&mutex_);
  return reason_;
}

bool Interruption::WaitUntil(absl::Time deadline) const {
  absl::MutexLock lock(&mutex_);
  auto interrupted = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return !reason_.ok(); };
  return mutex_.AwaitWithDeadline(absl::Condition(&interrupted), deadline);
}

Interruption::Scope::Scope(Interruption* interruption, std::function<void()> wake)
    : interruption_(*interruption) {
  absl::MutexLock lock(&interruption_.mutex_);
  if (!interruption_.reason_.ok()) wake();
  position_ = interruption_.wakers_.insert(interruption_.wakers_.end(), std::move(wake));
}

Interruption::Scope::~Scope() {
  absl::MutexLock lock(&interruption_.mutex_);
  interruption_.wakers_.erase(position_);
}

}  // namespace rally
