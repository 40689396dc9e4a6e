// Transport: moves buffers between the ranks of one job epoch.
//
// Plan-driven push: both ends know from the plan which messages travel, so a message is matched by
// (peer, tag) and its exact size, with no handshake above the wire. Nothing blocks but Wait and
// AwaitUntil. A message to one's own rank is kept in memory.
//
// Life: factory -> address() of every rank is gathered by the control plane -> Connect -> traffic
// -> Abort or destruction. A Transport serves one epoch of one job; a new epoch makes a new one.
//
// Threads: all methods may be called from any thread. Implementations make progress on a thread of
// their own, so transfers advance while callers compute.
//
// Errors: the first one is sticky. After Abort, a lost peer or any transport failure, every pending
// and every later call returns that first error. DeadlineExceeded from Wait is such an error.
// A received message whose size differs from the posted buffer's is InvalidArgument, one that
// changed on the way, where that is tested, DataLoss.
#ifndef RALLY_WORKERS_TRANSPORT_TRANSPORT_H_
#define RALLY_WORKERS_TRANSPORT_TRANSPORT_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <absl/strings/string_view.h>
#include <absl/time/time.h>
#include <absl/types/span.h>

#include "workers/transport/buffer.h"
#include "workers/transport/tag.h"

namespace rally {

// One pending send or receive; a cheap shared handle. Copies refer to the same operation. The
// buffer must stay valid until Wait has returned for it (OK or not), or the Transport is destroyed.
class Transfer {
 public:
  struct State;  // Implementation's.
  Transfer() = default;
  explicit Transfer(std::shared_ptr<State> state) : state_(std::move(state)) {}
  State* state() const { return state_.get(); }

 private:
  std::shared_ptr<State> state_;
};

// What has moved so far, and how; for metrics.
struct TransportCounters {
  int64_t bytes_sent = 0;      // To other ranks.
  int64_t bytes_received = 0;  // From other ranks.
  int64_t bytes_local = 0;     // Rank to itself.
  int64_t messages_sent = 0;   // To other ranks.
  int64_t strangers = 0;       // Messages dropped because no member of the epoch had sent them.
};

inline constexpr size_t kLeastSecret = 16;  // Bytes.

class Transport {
 public:
  virtual ~Transport() = default;

  virtual int32_t rank() const = 0;
  virtual int32_t ranks() const = 0;

  // Opaque bytes by which peers reach this rank.
  virtual std::string address() const = 0;

  // `addresses[r]` is rank r's address(); ranks() of them. `secret` is known to the members of this
  // epoch alone: kLeastSecret random bytes or more, or none where the addresses are known to them
  // alone. InvalidArgument names the rank whose address is not one. Called once, before any
  // traffic.
  virtual absl::Status Connect(absl::Span<const std::string> addresses,
                               absl::string_view secret) = 0;

  // Begins to send `bytes` to `peer`. tag.source must be rank().
  virtual Transfer Send(int32_t peer, const Tag& tag, absl::Span<const std::byte> bytes) = 0;

  // Begins to receive exactly `bytes.size()` bytes from `peer`. tag.source must be `peer`.
  virtual Transfer Receive(int32_t peer, const Tag& tag, absl::Span<std::byte> bytes) = 0;

  // The same of whole buffers, which stay where they are until Wait has returned. Between a rank
  // and itself, where both ends come by these, the two exchange what they hold in place of a copy:
  // what is in a buffer that was sent is of no use afterwards.
  virtual Transfer SendBuffer(int32_t peer, const Tag& tag, Buffer* buffer) {
    return Send(peer, tag, buffer->bytes());
  }
  virtual Transfer ReceiveBuffer(int32_t peer, const Tag& tag, Buffer* buffer) {
    return Receive(peer, tag, buffer->bytes());
  }

  // Blocks until all `transfers` are complete. The deadline is absolute, in wall time.
  virtual absl::Status Wait(absl::Span<const Transfer> transfers, absl::Time deadline) = 0;

  // Waits until all `transfers` are complete or the transport has failed (true), or until `time`
  // (false): unlike Wait, running out of time here is no error. Gives no buffer back: Wait does.
  virtual bool AwaitUntil(absl::Span<const Transfer> transfers, absl::Time time) = 0;

  // Makes every pending and later call return `error` (not OK). The first call wins.
  virtual void Abort(const absl::Status& error) = 0;

  // OK, or the sticky first error.
  virtual absl::Status status() const = 0;

  virtual TransportCounters counters() const = 0;
};

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_TRANSPORT_H_
