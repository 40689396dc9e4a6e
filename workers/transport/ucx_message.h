// UcxMessage: one transfer between two processes, as the one or two UCX messages it is made of (see
// frame.h), with checksum, authenticator and sequence made by the sender and tested by the
// receiver.
//
// Internal to the UCX transport; belongs to its progress thread. What a stranger sent in a
// message's place is dropped, and UCX is asked for the message again; the caller's buffer may hold
// the stranger's bytes meanwhile, but never more of them than it has room for.
#ifndef RALLY_WORKERS_TRANSPORT_UCX_MESSAGE_H_
#define RALLY_WORKERS_TRANSPORT_UCX_MESSAGE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>

#include "workers/transport/frame.h"
#include "workers/transport/sequence_set.h"
#include "workers/transport/transfer_ledger.h"
#include "workers/transport/ucx_worker.h"

namespace rally {

class UcxMessage;

// What the messages of one transport share; outlives them.
struct UcxLink {
  using Head = std::array<std::byte, kLongestHead>;

  int32_t rank = 0;
  bool checksums = false;
  UcxWorker* worker = nullptr;
  FrameKeys keys;
  std::vector<uint64_t> sent;         // By peer: the last sequence.
  std::vector<SequenceSet> received;  // By peer.
  std::vector<std::unique_ptr<Head>> spare_heads;

  // The transfer fails; its buffer is in use until `on_done`.
  std::function<void(const absl::Status& error)> on_error;
  // The buffer is free; `moved` unless there was an error. May destroy the message.
  std::function<void(UcxMessage* message, bool moved)> on_done;
  // Something that is no message of `peer` came in the message's place. Resume must be called, but
  // not from here.
  std::function<void(UcxMessage* message, int32_t peer, const std::string& why)> on_stranger;
};

class UcxMessage {
 public:
  // `data`: the caller's buffer of entry->size bytes; only read for sends.
  static std::unique_ptr<UcxMessage> Make(UcxLink* link,
                                          std::shared_ptr<TransferLedger::Entry> entry,
                                          std::byte* data);
  virtual ~UcxMessage();
  UcxMessage(const UcxMessage&) = delete;
  UcxMessage& operator=(const UcxMessage&) = delete;

  TransferLedger::Entry& entry() { return *entry_; }

  // Each may end with on_done, and so destroy the message.
  virtual void Begin() = 0;
  virtual void Resume() = 0;
  void Cancel();

 protected:
  class Part : public UcxWorker::Operation {
   public:
    explicit Part(UcxMessage* message) : message_(message) {}
    void OnComplete(const absl::Status& status, size_t bytes) override {
      message_->OnPart(this, status, bytes);
    }

    bool pending = false;  // Not settled.

   private:
    UcxMessage* const message_;
  };

  UcxMessage(UcxLink* link, std::shared_ptr<TransferLedger::Entry> entry, std::byte* data);
  virtual void OnPart(Part* part, const absl::Status& status, size_t bytes) = 0;
  void Fail(const absl::Status& error);
  // `part` is over and done with; ends the message with the last one.
  void Settle(Part* part);
  // What only a whole message shows.
  virtual absl::Status Examine() { return absl::OkStatus(); }

  UcxLink& link_;
  const std::shared_ptr<TransferLedger::Entry> entry_;
  std::byte* const data_;
  std::unique_ptr<UcxLink::Head> head_bytes_;
  Part head_;
  Part body_;
  bool failed_ = false;
};

}  // namespace rally

#endif  // RALLY_WORKERS_TRANSPORT_UCX_MESSAGE_H_
