#include "workers/transport/in_process_transport.h"

#include <string>
#include <utility>

#include <absl/strings/str_cat.h>

#include "common/check.h"
#include "workers/transport/memory_exchange.h"
#include "workers/transport/transfer_ledger.h"

namespace rally {
namespace {

class InProcessTransport : public Transport {
 public:
  InProcessTransport(int32_t rank, int32_t ranks, std::shared_ptr<MemoryExchange> exchange)
      : rank_(rank),
        ranks_(ranks),
        exchange_(std::move(exchange)),
        // The exchange outlives every call that can fail a ledger: a living transport makes it.
        ledger_(std::make_shared<TransferLedger>(
            rank, [exchange = exchange_.get(), rank]() { exchange->Withdraw(rank); })) {
    exchange_->Join(ledger_);
  }

  ~InProcessTransport() override {
    ledger_->Fail(absl::CancelledError(absl::StrCat("rank ", rank_, "'s transport is destroyed")));
    exchange_->Leave(rank_);
    ledger_->AwaitAllClosed();
  }

  int32_t rank() const override { return rank_; }
  int32_t ranks() const override { return ranks_; }
  std::string address() const override { return absl::StrCat("in-process:", rank_); }

  absl::Status Connect(absl::Span<const std::string> /*addresses*/,
                       absl::string_view /*secret*/) override {
    return status();
  }

  Transfer Send(int32_t peer, const Tag& tag, absl::Span<const std::byte> bytes) override {
    return exchange_->Send(rank_, peer, tag, bytes);
  }

  Transfer Receive(int32_t peer, const Tag& tag, absl::Span<std::byte> bytes) override {
    return exchange_->Receive(rank_, peer, tag, bytes);
  }

  Transfer SendBuffer(int32_t peer, const Tag& tag, Buffer* buffer) override {
    return exchange_->Send(rank_, peer, tag, buffer->bytes(), buffer);
  }

  Transfer ReceiveBuffer(int32_t peer, const Tag& tag, Buffer* buffer) override {
    return exchange_->Receive(rank_, peer, tag, buffer->bytes(), buffer);
  }

  absl::Status Wait(absl::Span<const Transfer> transfers, absl::Time deadline) override {
    return ledger_->Wait(transfers, deadline);
  }

  bool AwaitUntil(absl::Span<const Transfer> transfers, absl::Time time) override {
    return ledger_->AwaitUntil(transfers, time);
  }

  void Abort(const absl::Status& error) override { ledger_->Fail(error); }
  absl::Status status() const override { return ledger_->status(); }
  TransportCounters counters() const override { return ledger_->counters(); }

 private:
  const int32_t rank_;
  const int32_t ranks_;
  const std::shared_ptr<MemoryExchange> exchange_;
  const std::shared_ptr<TransferLedger> ledger_;
};

}  // namespace

std::vector<std::unique_ptr<Transport>> MakeInProcessTransports(int32_t ranks) {
  RALLY_CHECK(ranks > 0 && ranks <= kMaxRanks, absl::StrCat(ranks, " ranks"));
  auto exchange = std::make_shared<MemoryExchange>(ranks);
  std::vector<std::unique_ptr<Transport>> transports;
  for (int32_t rank = 0; rank < ranks; ++rank) {
    transports.push_back(std::make_unique<InProcessTransport>(rank, ranks, exchange));
  }
  return transports;
}

}  // namespace rally
