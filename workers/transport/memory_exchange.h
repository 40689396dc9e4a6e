// MemoryExchange: matches sends with receives of ranks that share an address space, and copies, or
// exchanges a rank's own buffers.
//
// Internal to the transports: all traffic of the in-process transport, and what a UCX rank sends to
// itself. The copy is made by the thread that posts the second half of a pair, outside any lock.
//
// Thread-safe.
#ifndef RALLY_WORKERS_TRANSPORT_MEMORY_EXCHANGE_H_
#define RALLY_WORKERS_TRANSPORT_MEMORY_EXCHANGE_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <tuple>
#include <vector>

#include <absl/base/thread_annotations.h>
#include <absl/status/status.h>
#include <absl/synchronization/mutex.h>
#include <absl/types/span.h>

#include "workers/transport/buffer.h"
#include "workers/transport/transfer_ledger.h"

namespace rally {

class MemoryExchange {
 public:
  explicit MemoryExchange(int32_t ranks) : members_(ranks) {}

  // `ledger` is where transfers of its rank are kept. On failure it must call Withdraw.
  void Join(std::shared_ptr<TransferLedger> ledger);
  // The rank is gone: its peers with posts for it, now or later, fail with Unavailable.
  void Leave(int32_t rank);

  // Both post for a rank that has joined. `buffer`, if given, is what `bytes` are the whole of:
  // from a rank to itself two buffers exchange what they hold.
  Transfer Send(int32_t rank, int32_t peer, const Tag& tag, absl::Span<const std::byte> bytes,
                Buffer* buffer = nullptr);
  Transfer Receive(int32_t rank, int32_t peer, const Tag& tag, absl::Span<std::byte> bytes,
                   Buffer* buffer = nullptr);

  // Closes everything `rank` has posted that is not matched yet.
  void Withdraw(int32_t rank);

 private:
  struct Member {
    std::shared_ptr<TransferLedger> ledger;
    bool gone = false;
  };
  struct Post {
    int32_t rank = 0;
    std::shared_ptr<TransferLedger> ledger;
    std::shared_ptr<TransferLedger::Entry> entry;
    const std::byte* from = nullptr;  // Sends.
    std::byte* to = nullptr;          // Receives.
    Buffer* buffer = nullptr;         // That `from` or `to` is the whole of; null: not given.
  };
  // Sender, receiver, encoded tag.
  using Key = std::tuple<int32_t, int32_t, uint64_t>;
  struct Queue {
    std::deque<Post> sends;  // At most one of the two has elements.
    std::deque<Post> receives;
  };

  Transfer Begin(int32_t rank, int32_t peer, Post post);
  // Files `post`, or takes the post that it matches, or gives the reason why neither can be.
  absl::Status Match(const Key& key, const Post& post, Post* match);
  static void Move(const Post& send, const Post& receive);

  absl::Mutex mutex_;
  std::vector<Member> members_ ABSL_GUARDED_BY(mutex_);
  std::map<Key, Queue> queues_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_MEMORY_EXCHANGE_H_
