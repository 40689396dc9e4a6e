// TransferLedger: what every transport keeps about its transfers: which still use their buffers,
// the sticky first error, and the counters.
//
// Internal to the transports. A transfer is opened when it is posted and closed when its buffer is
// touched no more, whether it succeeded or not. Wait returns only when the transfers it was given
// are closed, so the owner must close all open transfers soon after a failure.
//
// Thread-safe. Calls its owner back without holding a lock.
#ifndef RALLY_WORKERS_TRANSPORT_TRANSFER_LEDGER_H_
#define RALLY_WORKERS_TRANSPORT_TRANSFER_LEDGER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/time/time.h>
#include <absl/types/span.h>

#include "workers/transport/transport.h"

namespace rally {

// Base of what the implementations hang on a Transfer.
struct Transfer::State {
  virtual ~State() = default;
};

enum class TransferKind : uint8_t { kSend, kReceive };

class TransferLedger {
 public:
  // One transfer. Only `closed` changes after Open.
  struct Entry : Transfer::State {
    TransferKind kind;
    int32_t peer;
    Tag tag;
    size_t size;          // Bytes.
    bool closed = false;  // Guarded by the ledger's mutex.

    // "receive of 8 bytes, epoch 1 ... from 2", for error messages.
    std::string ToString() const;
  };

  // `on_failure` is called once, by the thread that brings the first error, before Fail returns.
  TransferLedger(int32_t rank, std::function<void()> on_failure)
      : rank_(rank), on_failure_(std::move(on_failure)) {}

  int32_t rank() const { return rank_; }

  std::shared_ptr<Entry> Open(TransferKind kind, int32_t peer, const Tag& tag, size_t size);
  // The transfer did what it should.
  void CloseMoved(Entry& entry);
  // The transfer did not take place; the ledger has failed or is about to.
  void CloseUnmoved(Entry& entry);

  // Blocks as Transport::Wait does. Missing the deadline is a failure.
  absl::Status Wait(absl::Span<const Transfer> transfers, absl::Time deadline);
  // Blocks as Transport::AwaitUntil does.
  bool AwaitUntil(absl::Span<const Transfer> transfers, absl::Time time);
  // Blocks until no transfer is open.
  void AwaitAllClosed();

  void CountStranger();

  // Keeps `error` unless there is one already.
  void Fail(const absl::Status& error);

  absl::Status status() const;
  TransportCounters counters() const;

 private:
  // Skips the closed transfers from `next` on; true when all are.
  bool AllClosed(absl::Span<const Transfer> transfers, size_t* next) const
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const int32_t rank_;
  const std::function<void()> on_failure_;
  mutable absl::Mutex mutex_;
  absl::Status error_ ABSL_GUARDED_BY(mutex_);
  int64_t open_ ABSL_GUARDED_BY(mutex_) = 0;
  TransportCounters counters_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_TRANSFER_LEDGER_H_
