#include "workers/transport/delayed_transport.h"

#include <deque>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/strings/str_cat.h>
#include <absl/synchronization/mutex.h>

#include "workers/transport/transfer_ledger.h"

namespace rally {
namespace {

// A thread hands each send to the base when its delay is over. All delays are equal, so one queue
// keeps the order.
class DelayedTransport : public Transport {
 public:
  DelayedTransport(std::unique_ptr<Transport> base, absl::Duration delay)
      : base_(std::move(base)), delay_(delay), forwarder_([this]() { Run(); }) {}

  ~DelayedTransport() override {
    {
      absl::MutexLock lock(&mutex_);
      stopping_ = true;
    }
    forwarder_.join();
  }

  int32_t rank() const override { return base_->rank(); }
  int32_t ranks() const override { return base_->ranks(); }
  std::string address() const override { return base_->address(); }
  absl::Status Connect(absl::Span<const std::string> addresses, absl::string_view secret) override {
    return base_->Connect(addresses, secret);
  }
  Transfer Send(int32_t peer, const Tag& tag, absl::Span<const std::byte> bytes) override;
  Transfer Receive(int32_t peer, const Tag& tag, absl::Span<std::byte> bytes) override {
    return base_->Receive(peer, tag, bytes);
  }
  Transfer SendBuffer(int32_t peer, const Tag& tag, Buffer* buffer) override {
    if (peer == rank()) return base_->SendBuffer(peer, tag, buffer);
    return Send(peer, tag, buffer->bytes());
  }
  Transfer ReceiveBuffer(int32_t peer, const Tag& tag, Buffer* buffer) override {
    return base_->ReceiveBuffer(peer, tag, buffer);
  }
  absl::Status Wait(absl::Span<const Transfer> transfers, absl::Time deadline) override;
  bool AwaitUntil(absl::Span<const Transfer> transfers, absl::Time time) override;
  void Abort(const absl::Status& error) override;
  absl::Status status() const override { return base_->status(); }
  TransportCounters counters() const override { return base_->counters(); }

 private:
  // A send of which the base does not know yet, or does since `forwarded`.
  struct DelayedSend : Transfer::State {
    int32_t peer;
    Tag tag;
    absl::Span<const std::byte> bytes;
    absl::Time due;
    bool forwarded = false;  // Guarded by mutex_, as is `inner`.
    Transfer inner;
  };

  void Run();
  // Puts the base's transfers in place of those that have been forwarded; true when all have been.
  bool AllForwarded(absl::Span<Transfer> transfers) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // The oldest send when it is due, or nothing when it is time to stop.
  std::shared_ptr<DelayedSend> NextDue();

  const std::unique_ptr<Transport> base_;
  const absl::Duration delay_;
  absl::Mutex mutex_;
  std::deque<std::shared_ptr<DelayedSend>> sends_ ABSL_GUARDED_BY(mutex_);
  bool aborted_ ABSL_GUARDED_BY(mutex_) = false;  // Forwards at once: the base will refuse.
  bool stopping_ ABSL_GUARDED_BY(mutex_) = false;
  std::thread forwarder_;
};

Transfer DelayedTransport::Send(int32_t peer, const Tag& tag, absl::Span<const std::byte> bytes) {
  if (peer == rank()) return base_->Send(peer, tag, bytes);
  auto send = std::make_shared<DelayedSend>();
  send->peer = peer;
  send->tag = tag;
  send->bytes = bytes;
  absl::MutexLock lock(&mutex_);
  send->due = absl::Now() + delay_;
  sends_.push_back(send);
  return Transfer(std::move(send));
}

bool DelayedTransport::AllForwarded(absl::Span<Transfer> transfers) {
  for (Transfer& transfer : transfers) {
    auto* send = dynamic_cast<DelayedSend*>(transfer.state());
    if (send == nullptr) continue;
    if (!send->forwarded) return false;
    transfer = Transfer(send->inner);
  }
  return true;
}

absl::Status DelayedTransport::Wait(absl::Span<const Transfer> transfers, absl::Time deadline) {
  std::vector<Transfer> inner(transfers.begin(), transfers.end());
  auto all_forwarded = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return AllForwarded(absl::MakeSpan(inner));
  };
  bool in_time = false;
  {
    absl::MutexLock lock(&mutex_);
    in_time = mutex_.AwaitWithDeadline(absl::Condition(&all_forwarded), deadline);
  }
  if (!in_time) {
    Abort(absl::DeadlineExceededError(
        absl::StrCat("rank ", rank(), " waited in vain for a delayed send")));
    // The forwarder hurries now, and the base refuses what it is handed.
    absl::MutexLock lock(&mutex_);
    mutex_.Await(absl::Condition(&all_forwarded));
  }
  return base_->Wait(inner, deadline);
}

bool DelayedTransport::AwaitUntil(absl::Span<const Transfer> transfers, absl::Time time) {
  std::vector<Transfer> inner(transfers.begin(), transfers.end());
  auto all_forwarded = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return AllForwarded(absl::MakeSpan(inner));
  };
  bool in_time = false;
  {
    absl::MutexLock lock(&mutex_);
    in_time = mutex_.AwaitWithDeadline(absl::Condition(&all_forwarded), time);
  }
  return in_time ? base_->AwaitUntil(inner, time) : !status().ok();
}

void DelayedTransport::Abort(const absl::Status& error) {
  base_->Abort(error);
  absl::MutexLock lock(&mutex_);
  aborted_ = true;
}

std::shared_ptr<DelayedTransport::DelayedSend> DelayedTransport::NextDue() {
  absl::MutexLock lock(&mutex_);
  auto has_work = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return stopping_ || !sends_.empty();
  };
  mutex_.Await(absl::Condition(&has_work));
  auto hurried = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return stopping_ || aborted_; };
  if (!stopping_) mutex_.AwaitWithDeadline(absl::Condition(&hurried), sends_.front()->due);
  if (stopping_) return nullptr;
  std::shared_ptr<DelayedSend> send = std::move(sends_.front());
  sends_.pop_front();
  return send;
}

void DelayedTransport::Run() {
  while (std::shared_ptr<DelayedSend> send = NextDue()) {
    Transfer inner = base_->Send(send->peer, send->tag, send->bytes);
    absl::MutexLock lock(&mutex_);
    send->inner = std::move(inner);
    send->forwarded = true;
  }
}

}  // namespace

std::unique_ptr<Transport> MakeDelayedTransport(std::unique_ptr<Transport> base,
                                                absl::Duration delay) {
  return std::make_unique<DelayedTransport>(std::move(base), delay);
}

}  // namespace rally
