#include "workers/transport/transfer_ledger.h"

#include <absl/strings/str_cat.h>

#include "common/check.h"

namespace rally {
namespace {

TransferLedger::Entry* EntryOf(const Transfer& transfer) {
  if (transfer.state() == nullptr) return nullptr;
  auto* entry = dynamic_cast<TransferLedger::Entry*>(transfer.state());
  RALLY_CHECK(entry != nullptr, "a transfer was given to a transport that did not make it");
  return entry;
}

}  // namespace

std::string TransferLedger::Entry::ToString() const {
  return absl::StrCat(kind == TransferKind::kSend ? "send" : "receive", " of ", size, " bytes (",
                      tag.ToString(), ")", kind == TransferKind::kSend ? " to " : " by peer ",
                      peer);
}

std::shared_ptr<TransferLedger::Entry> TransferLedger::Open(TransferKind kind, int32_t peer,
                                                            const Tag& tag, size_t size) {
  auto entry = std::make_shared<Entry>();
  entry->kind = kind;
  entry->peer = peer;
  entry->tag = tag;
  entry->size = size;
  absl::MutexLock lock(&mutex_);
  ++open_;
  return entry;
}

void TransferLedger::CloseMoved(Entry& entry) {
  absl::MutexLock lock(&mutex_);
  RALLY_CHECK(!entry.closed, entry.ToString());
  entry.closed = true;
  --open_;
  auto size = static_cast<int64_t>(entry.size);
  if (entry.kind == TransferKind::kReceive) {
    if (entry.peer != rank_) counters_.bytes_received += size;
  } else if (entry.peer == rank_) {
    counters_.bytes_local += size;
  } else {
    counters_.bytes_sent += size;
    ++counters_.messages_sent;
  }
}

void TransferLedger::CloseUnmoved(Entry& entry) {
  absl::MutexLock lock(&mutex_);
  RALLY_CHECK(!entry.closed, entry.ToString());
  entry.closed = true;
  --open_;
}

bool TransferLedger::AllClosed(absl::Span<const Transfer> transfers, size_t* next) const {
  for (; *next < transfers.size(); ++*next) {
    const Entry* entry = EntryOf(transfers[*next]);
    if (entry != nullptr && !entry->closed) return false;
  }
  return true;
}

absl::Status TransferLedger::Wait(absl::Span<const Transfer> transfers, absl::Time deadline) {
  absl::Status missed;
  size_t next = 0;  // Transfers before it are closed.
  auto all_closed = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return AllClosed(transfers, &next);
  };
  {
    absl::MutexLock lock(&mutex_);
    auto settled = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
      return !error_.ok() || all_closed();
    };
    if (!mutex_.AwaitWithDeadline(absl::Condition(&settled), deadline)) {
      missed = absl::DeadlineExceededError(absl::StrCat("rank ", rank_, " waited in vain for the ",
                                                        EntryOf(transfers[next])->ToString()));
    } else if (error_.ok()) {
      return absl::OkStatus();
    }
  }
  if (!missed.ok()) Fail(missed);
  absl::MutexLock lock(&mutex_);
  mutex_.Await(absl::Condition(&all_closed));
  return error_;
}

bool TransferLedger::AwaitUntil(absl::Span<const Transfer> transfers, absl::Time time) {
  size_t next = 0;
  absl::MutexLock lock(&mutex_);
  auto settled = [&]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) {
    return !error_.ok() || AllClosed(transfers, &next);
  };
  return mutex_.AwaitWithDeadline(absl::Condition(&settled), time);
}

void TransferLedger::AwaitAllClosed() {
  absl::MutexLock lock(&mutex_);
  auto none_open = [this]() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_) { return open_ == 0; };
  mutex_.Await(absl::Condition(&none_open));
}

void TransferLedger::CountStranger() {
  absl::MutexLock lock(&mutex_);
  ++counters_.strangers;
}

void TransferLedger::Fail(const absl::Status& error) {
  RALLY_CHECK(!error.ok(), "a transport cannot fail with OK");
  {
    absl::MutexLock lock(&mutex_);
    if (!error_.ok()) return;
    error_ = error;
  }
  on_failure_();
}

absl::Status TransferLedger::status() const {
  absl::MutexLock lock(&mutex_);
  return error_;
}

TransportCounters TransferLedger::counters() const {
  absl::MutexLock lock(&mutex_);
  return counters_;
}

}  // namespace rally
