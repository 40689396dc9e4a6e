#include "services/cli/chaos_watch.h"

#include <utility>

#include <absl/time/clock.h>

#include "proto/convert.h"

namespace rally {
namespace {

constexpr absl::Duration kPatience = absl::Seconds(60);  // For a coordinator that restarts.
constexpr absl::Duration kRetry = absl::Milliseconds(50);

}  // namespace

ChaosWatch::ChaosWatch(JobClient* client, Interruption* watching, Interruption* interruption,
                       std::string job_id, bool same_clock)
    : client_(*client),
      watching_(*watching),
      job_id_(std::move(job_id)),
      same_clock_(same_clock),
      forward_(interruption,
               [watching] { watching->Interrupt(absl::CancelledError("interrupted")); }),
      thread_([this] { Follow(); }) {}

ChaosWatch::~ChaosWatch() {
  watching_.Interrupt(absl::CancelledError("the watch is over"));
  thread_.join();
}

void ChaosWatch::Begin(const std::string& victim, int64_t process_id) {
  absl::MutexLock lock(&mutex_);
  log_.Begin(victim, process_id, absl::Now());
}

void ChaosWatch::End(pid_t respawned) {
  absl::MutexLock lock(&mutex_);
  log_.End(respawned, absl::Now());
}

bool ChaosWatch::Await(const std::function<bool(const ChaosLog&)>& condition,
                       absl::Time deadline) const {
  absl::MutexLock lock(&mutex_);
  const auto due = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return over_ || condition(log_); };
  return mutex_.AwaitWithDeadline(absl::Condition(&due), deadline) && !over_;
}

bool ChaosWatch::IsOverBy(absl::Time deadline) const {
  absl::MutexLock lock(&mutex_);
  return mutex_.AwaitWithDeadline(absl::Condition(&over_), deadline);
}

absl::Status ChaosWatch::status() const {
  absl::MutexLock lock(&mutex_);
  return status_;
}

ChaosLog ChaosWatch::log() const {
  absl::MutexLock lock(&mutex_);
  return log_;
}

absl::Status ChaosWatch::FollowOnce() {
  const int64_t after = log().sequence();
  // Without patience: that the coordinator goes is worth knowing.
  return client_
      .Watch(job_id_, after, absl::ZeroDuration(),
             [this](const v1::JobEvent& event) {
               absl::MutexLock lock(&mutex_);
               log_.Add(event, same_clock_ ? FromProto(event.time()) : absl::Now());
             })
      .status();
}

bool ChaosWatch::NoteUnreachable() {
  absl::MutexLock lock(&mutex_);
  const absl::Time now = absl::Now();
  if (log_.sequence() != last_sequence_) gone_since_ = now;
  last_sequence_ = log_.sequence();
  log_.AddUnreachable(now);
  return now - gone_since_ <= kPatience;
}

void ChaosWatch::Follow() {
  absl::Status status = FollowOnce();
  while (absl::IsUnavailable(status) && NoteUnreachable() &&
         !watching_.WaitUntil(absl::Now() + kRetry)) {
    status = FollowOnce();
  }
  {
    absl::MutexLock lock(&mutex_);
    over_ = true;
    status_ = status;
  }
  watching_.Interrupt(absl::CancelledError("the job has ended"));
}

}  // namespace rally
